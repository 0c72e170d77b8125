"""The folders of annotated exemplars that options name, joined if there are several."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.files.remote import is_remote
from milan_jax._src.options.train import SetOptions
from milan_jax._src.records import Unit
from milan_jax._src.store.exemplar_sets import set_folder, set_name
from milan_jax._src.store.joined_exemplars import JoinedExemplars, joined_layer
from milan_jax._src.store.milannotations import networks_named
from milan_jax._src.store.milannotations_archive import fetch_annotated
from milan_jax._src.store.splits import FILE
from milan_jax._src.training.annotated_folder import AnnotatedSet, read_set

Say = Callable[[str], None]


def read_whole(data: SetOptions, *, say: Say) -> AnnotatedSet:
  """Reads folders of exemplars, with the annotations, split and truths in them.

  Args:
    data: the folders, annotations and split.
    say: called with each line of progress.

  Raises:
    UserError: if a folder or file is missing or damaged, or several folders cannot be
      joined.
  """
  folders = _folders(data)
  if len(folders) == 1:
    return read_set(folders[0], data.annotations, data.split, data, say)
  return _joined(folders, data, say)


def check_folders(data: SetOptions) -> None:
  """Checks the names of folders and networks; reads, copies and downloads nothing.

  Raises:
    UserError: if there is none, a local folder does not exist, a name is unknown, or
      an option would be ignored.
  """
  if data.data and data.exemplars:
    raise UserError(
      f"--data={data.data}, --exemplars={data.exemplars}: give one of them; --data "
      "also takes folders."
    )
  if data.data_root and not data.data:
    raise UserError(
      f"--data_root={data.data_root}: only networks named with --data use it; leave it "
      "out."
    )
  if data.data:
    networks_named(data.data, root=data.data_root)
  elif not data.exemplars:
    raise UserError(
      "--exemplars: give a folder of annotated exemplars, or networks of "
      "MILANNOTATIONS with --data, such as base."
    )
  else:
    for path in _paths(data.exemplars):
      if not is_remote(path) and not pathlib.Path(path).is_dir():
        raise UserError(
          f"--exemplars: there is no folder {path}: give the path of a folder of "
          "exemplars."
        )


def _paths(exemplars: str) -> list[str]:
  return [path.strip() for path in exemplars.split(",")]


def _folders(data: SetOptions) -> tuple[pathlib.Path, ...]:
  """Returns the folders of the exemplars; downloads networks that are missing."""
  check_folders(data)
  if data.data:
    return tuple(fetch_annotated(data.data, root=data.data_root).values())
  return tuple(set_folder(path) for path in _paths(data.exemplars or ""))


def _joined(
  folders: tuple[pathlib.Path, ...], data: SetOptions, say: Say
) -> AnnotatedSet:
  """Joins folders with their own annotations; all or none of them have a split."""
  for flag, value in (("annotations", data.annotations), ("split", data.split)):
    if value:
      raise UserError(
        f"--{flag}={value}: with several folders of exemplars, put {flag}.csv into "
        "each folder."
      )
  names = [set_name(folder) for folder in folders]
  twice = [name for name in names if names.count(name) > 1]
  if twice:
    raise UserError(
      f"--exemplars: two folders have the name {twice[0]}, which is part of the names "
      "of their layers: rename one."
    )
  found = {
    name: read_set(folder, None, None, data, say)
    for name, folder in zip(names, folders, strict=True)
  }
  with_split = [name for name, one in found.items() if one.split is not None]
  if with_split and len(with_split) < len(found):
    missing = next(name for name in names if name not in with_split)
    raise UserError(
      f"--exemplars: {with_split[0]} has a {FILE} and {missing} has none: put one into "
      "every folder, or into none."
    )
  truths = _renamed({name: one.truths for name, one in found.items()})
  return AnnotatedSet(
    folders=folders,
    exemplars=JoinedExemplars({name: one.exemplars for name, one in found.items()}),
    described=_renamed({name: one.described for name, one in found.items()}),
    left_out=sum(one.left_out for one in found.values()),
    split=_renamed({name: one.split for name, one in found.items()})
    if with_split
    else None,
    truths=truths or None,
  )


def _renamed(tables: Mapping[str, Mapping[Unit, Any] | None]) -> dict[Unit, Any]:
  """Joins the tables of several sets, with the layer names of `JoinedExemplars`."""
  return {
    dataclasses.replace(unit, layer=joined_layer(name, unit.layer)): value
    for name, table in tables.items()
    for unit, value in (table or {}).items()
  }
