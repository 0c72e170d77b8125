"""`milan-data`: actions on annotated exemplars."""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.files.atomic import write_text
from milan_jax._src.files.cache import alone_in, cache_folder
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.remote import is_remote, put
from milan_jax._src.files.staging import staged_folder
from milan_jax._src.options.data import AnnotatedDataOptions
from milan_jax._src.options.fields import changed
from milan_jax._src.store.annotated_units import (
  AnnotatedUnits,
  as_json,
  findings,
  read_annotated,
  stats_of,
  table,
)
from milan_jax._src.store.annotations import FILE, write_annotations
from milan_jax._src.store.exemplar_records import META as RECORDS
from milan_jax._src.store.exemplar_records import (
  records_folder,
  write_exemplar_records,
)
from milan_jax._src.store.exemplar_sets import LAYER_FILES, open_exemplars
from milan_jax._src.store.exemplar_store import META
from milan_jax._src.store.joined_exemplars import joined_layer
from milan_jax._src.store.milannotations import NETWORKS
from milan_jax._src.store.milannotations_archive import fetch_annotated
from milan_jax._src.store.milannotations_merge import merge_pictures
from milan_jax._src.store.original_layout import layer_names, write_original_layout
from milan_jax._src.store.splits import FILE as SPLIT
from milan_jax._src.store.splits import read_split
from milan_jax._src.text.tokenizer import Tokenizer

ACTIONS = ("download", "merge", "stats", "check", "export", "records")
# Tables of a set that are exported as they are.
_TABLES = (FILE, SPLIT)
# The annotations of all exported sets. With the name of a set's own table, the folder
# of the export would look like a set: its layers have other names, and ids of images
# of different data sets would be taken for the same images.
JOINED = "all-annotations.csv"


def run_action(action: str, options: AnnotatedDataOptions) -> None:
  """Runs `milan-data ACTION`.

  Args:
    action: one of `ACTIONS`.
    options: the options of `milan-data`.

  Raises:
    UserError: if the action or a name is unknown, a file is missing or damaged, or
      `check` has found problems.
  """
  if action not in ACTIONS:
    raise UserError(
      f"{action!r}: expected one of {', '.join(ACTIONS)}."
      f"{did_you_mean(action, ACTIONS)}"
    )
  _check_options(action, options)
  found = fetch_annotated(options.data or "", root=options.data_root)
  if action == "download":
    for name, folder in found.items():
      print(f"{name}: {_about(read_annotated(folder))}")
  elif action == "merge":
    _merge(found, options)
  else:
    sets = [read_annotated(folder) for folder in found.values()]
    _refuse_same_names(sets)
    actions = {"stats": _stats, "check": _check, "export": _export, "records": _records}
    actions[action](sets, options)


# The actions that use an option.
_USES = {
  "images": ("merge",),
  "parity": ("merge",),
  "out": ("stats", "export", "records"),
}


def _check_options(action: str, options: AnnotatedDataOptions) -> None:
  """Checks the options of an action before anything is downloaded.

  Raises:
    UserError: if one would be ignored, is missing, or is a remote path for an action
      that writes local files.
  """
  for flag, actions in _USES.items():
    if f"--{flag}" in changed(options) and action not in actions:
      raise UserError(
        f"--{flag}: milan-data {action} does not use it, only "
        f"{' and '.join(actions)}: leave it out."
      )
  if not options.out and action in ("export", "records"):
    local = "" if action == "export" else ", local or remote (gs://)"
    raise UserError(f"--out: give the folder to write to{local}.")
  if options.out and is_remote(options.out) and action != "records":
    raise UserError(
      f"--out={options.out}: expected a path on this machine; only records writes to a "
      "remote one."
    )


def _merge(found: Mapping[str, pathlib.Path], options: AnnotatedDataOptions) -> None:
  for name, folder in found.items():
    number = merge_pictures(
      folder,
      options.images,
      parity=options.parity,
      say=print,
    )
    print(f"{name}: {_layers(number)} merged" if number else f"{name}: has its images")


def _about(one: AnnotatedUnits) -> str:
  """Returns where a set is, how many units it has, and what it lacks."""
  found = f"{one.folder}, {len(one.units):,} units, {len(one.annotations):,} annotated"
  if one.without_images:
    found += (
      f"; {_layers(len(one.without_images))} without images: run milan-data merge"
    )
  return found


def _layers(number: int) -> str:
  return f"{number} layer{'' if number == 1 else 's'}"


def _refuse_same_names(sets: list[AnnotatedUnits]) -> None:
  names = [one.name for one in sets]
  if twice := [name for name in names if names.count(name) > 1]:
    raise UserError(
      f"--data: two folders have the name {twice[0]}, which is part of the names of "
      "their layers: rename one."
    )


def _stats(sets: list[AnnotatedUnits], options: AnnotatedDataOptions) -> None:
  tokenize = Tokenizer()
  numbers = {one.name: stats_of([one], tokenize) for one in sets}
  if len(sets) > 1:
    numbers["total"] = stats_of(sets, tokenize)
  print(table(numbers))
  if options.out:
    write_text(options.out, as_json(numbers) + "\n")


def _check(sets: list[AnnotatedUnits], options: AnnotatedDataOptions) -> None:
  number = 0
  for one in sets:
    problems, remarks = findings(one)
    for line in problems:
      print(f"problem: {line}")
    for line in remarks:
      print(f"remark: {line}")
    if not problems and not remarks:
      print(f"{one.name}: nothing found")
    number += len(problems)
  if number:
    raise UserError(f"Problems: {number}, named above. Sets checked: {len(sets)}.")


def _export(sets: list[AnnotatedUnits], options: AnnotatedDataOptions) -> None:
  """Writes each set without images and, of several, one table of all annotations."""
  assert options.out
  joined = {
    dataclasses.replace(unit, layer=joined_layer(one.name, unit.layer)): said
    for one in sets
    for unit, said in one.annotations.items()
  }
  with staged_folder(options.out) as staging:
    for one in sets:
      _export_set(one, staging / _place(one))
    if len(sets) > 1:
      write_annotations(staging / JOINED, joined)
  out = pathlib.Path(options.out)
  for one in sets:
    print(f"{one.name}: exported to {out / _place(one)}, without images")
  if len(sets) > 1:
    print(f"All {len(joined):,} annotated units are in {out / JOINED}.")


def _records(sets: list[AnnotatedUnits], options: AnnotatedDataOptions) -> None:
  """Writes each set as a data set of tensorflow-datasets."""
  assert options.out
  for one in sets:
    target = records_folder(options.out, one.name)
    if is_remote(target):
      # Each remote folder has its own place; a second writer of one waits.
      place = cache_folder() / "written" / sha256_of([target])[:16]
      with alone_in(place):
        local = place / one.name
        shutil.rmtree(local, ignore_errors=True)
        _write_records(one, local)
        put(local, target, stamp=RECORDS)
        shutil.rmtree(local)
    else:
      _write_records(one, pathlib.Path(target))
    print(f"{one.name}: {len(one.units)} units in {target}")


def _write_records(one: AnnotatedUnits, folder: pathlib.Path) -> None:
  path = one.folder / SPLIT
  write_exemplar_records(
    folder,
    open_exemplars(one.folder),
    name=one.name,
    annotations=one.annotations,
    split=read_split(path) if path.is_file() else None,
  )


def _place(one: AnnotatedUnits) -> str:
  """Returns `MODEL/DATASET` for a network of MILANNOTATIONS, otherwise the name."""
  names = {name.replace("/", "-"): name for name in NETWORKS}
  return names.get(one.name, one.name)


def _export_set(one: AnnotatedUnits, folder: pathlib.Path) -> None:
  folder.parent.mkdir(parents=True, exist_ok=True)
  if (one.folder / META).is_file():
    write_original_layout(folder, open_exemplars(one.folder), with_images=False)
  else:
    for layer in layer_names(one.folder):
      (folder / layer).mkdir(parents=True)
      for name in LAYER_FILES:
        path = one.folder / layer / name
        if name != "images.npy" and path.is_file():
          shutil.copyfile(path, folder / layer / name)
  for name in _TABLES:
    if (one.folder / name).is_file():
      shutil.copyfile(one.folder / name, folder / name)
