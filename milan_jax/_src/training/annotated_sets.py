"""Reads annotated exemplars from one or several folders."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.json_files import read_json
from milan_jax._src.options.train import DataOptions, SetOptions
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import (
  open_exemplars,
  set_folder,
  set_name,
)
from milan_jax._src.store.feature_records import FeatureRecords
from milan_jax._src.store.joined_exemplars import JoinedExemplars, joined_layer
from milan_jax._src.store.milannotations_archive import fetch_annotated
from milan_jax._src.store.splits import FILE, read_split
from milan_jax._src.store.truths import MANIFEST, TRUTH, read_truths
from milan_jax._src.text.judge import Truth
from milan_jax._src.text.reconstruction import reconstruct
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.wording import NOTHING_PHRASES
from milan_jax._src.training.calibrate import check_truths
from milan_jax._src.training.matching import keep_matched, split_rows
from milan_jax._src.training.permitted_captions import permitted_captions
from milan_jax._src.training.splitting import Split

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
  """Facts about annotated exemplars that a captioner trained on them needs.

  Attributes:
    left_out: number of captions left out by `permitted_captions`.
    nothing: descriptions of no pattern, as a captioner of these corpora decodes them.
    sources: the model card's entry on corpora.
    sets: names of the joined sets, which the names of their layers begin with; empty
      for a single set.
  """

  left_out: int
  nothing: tuple[str, ...]
  sources: Mapping[str, Any]
  sets: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedSets:
  """The data that a captioner is trained on, read and checked before the run starts.

  Attributes:
    units: the units of each layer that have exemplars and captions, in order.
    annotations: captions of these units.
    rows: rows of the training, validation and test parts.
    split: the part of each unit; None if not given.
    truths: correct descriptions of units, to fit the confidence; None if unknown.
    repeats: how many times each unit's captions are used in an epoch.
    origin: facts about the exemplars.
    described: captions of all units.
    folders: the exemplar directories; empty for computed features.
    exemplars: exemplars of annotated units; with several folders, layers are named
      `FOLDER:LAYER`. None for computed features.
    records: the computed features; None for exemplars.
  """

  units: Mapping[str, Sequence[Unit]]
  annotations: Mapping[Unit, Sequence[str]]
  rows: Split
  split: Mapping[Unit, str] | None
  truths: Mapping[Unit, Truth] | None
  repeats: Mapping[Unit, int]
  origin: Origin
  described: Mapping[Unit, Sequence[str]]
  folders: tuple[pathlib.Path, ...] = ()
  exemplars: ExemplarSet | None = None
  records: FeatureRecords | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedSet:
  """The exemplars, captions, split and truths of one folder, or of several joined.

  Attributes:
    folders: the exemplar directories.
    exemplars: exemplars of annotated units.
    described: captions of all units.
    left_out: number of captions left out by `permitted_captions`.
    split: the part of each unit; None if not given.
    truths: correct descriptions of units; None if unknown.
  """

  folders: tuple[pathlib.Path, ...]
  exemplars: ExemplarSet
  described: Mapping[Unit, Sequence[str]]
  left_out: int
  split: Mapping[Unit, str] | None
  truths: Mapping[Unit, Truth] | None

  def units(self) -> dict[str, list[Unit]]:
    """Returns the units of each layer."""
    layers = self.exemplars.layers
    return {name: self.exemplars.exemplars(name).signed_units() for name in layers}

  def origin(self) -> Origin:
    """Returns the facts about the exemplars."""
    has_truths = any((folder / TRUTH).is_file() for folder in self.folders)
    several = len(self.folders) > 1
    return Origin(
      left_out=self.left_out,
      nothing=tuple(_as_said(NOTHING_PHRASES)) if has_truths else (),
      sources=known_sources(self.folders),
      sets=tuple(set_name(folder) for folder in self.folders) if several else (),
    )


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


def read_sets(data: DataOptions, *, seed: int, say: Say) -> AnnotatedSets:
  """Reads the data that a captioner is trained on from folders of exemplars.

  Args:
    data: the folders, annotations and split.
    seed: seed of a random split.
    say: called with each line of progress.

  Raises:
    UserError: as for `read_whole`, or if annotations and exemplars hardly match,
      or a part is empty.
  """
  whole = read_whole(data, say=say)
  by_layer = whole.units()
  units = [unit for layer in by_layer.values() for unit in layer]
  kept = keep_matched(whole.described, set(units), what="exemplars", say=say)
  split, truths = whole.split, None
  rows = rows_of(
    units, split, data, seed=seed, say=say, name=str(whole.folders[0] / FILE)
  )
  if split is not None:
    split = {unit: split[unit] for unit in units}
    truths = whole.truths
    if truths is not None:
      check_truths(split, truths)
  origin = whole.origin()
  return AnnotatedSets(
    units=by_layer,
    annotations=kept,
    rows=rows,
    split=split,
    truths=truths,
    repeats=repeats_of(units, data.repeat, origin.sets),
    origin=origin,
    described=whole.described,
    folders=whole.folders,
    exemplars=whole.exemplars,
  )


def rows_of(
  units: Sequence[Unit],
  split: Mapping[Unit, str] | None,
  data: DataOptions,
  *,
  seed: int,
  say: Say,
  name: str,
) -> Split:
  """Returns the rows of the units in each part, from a given or a random split.

  Args:
    units: the annotated units, in order.
    split: the part of each unit; None splits at random.
    data: the fractions of a random split.
    seed: seed of a random split.
    say: called with each line of progress.
    name: name of the given split for messages.

  Raises:
    UserError: if a unit has no part, or a part is empty.
  """
  return split_rows(
    units,
    split,
    validation_fraction=data.validation_fraction,
    test_fraction=data.test_fraction,
    seed=seed,
    say=say,
    name=str(data.split or name),
  )


def repeats_of(
  units: Sequence[Unit], text: str | None, sets: Sequence[str]
) -> dict[Unit, int]:
  """Returns how many times an epoch uses the captions of each unit.

  Args:
    units: the units.
    text: the option `--repeat`.
    sets: names of the joined sets; empty for a single set.

  Raises:
    UserError: if the option has other numbers than the sets.
  """
  times = _repeats(text, sets or [""])
  names = (unit.layer.partition(":")[0] if sets else "" for unit in units)
  return {unit: times[name] for unit, name in zip(units, names, strict=True)}


def _repeats(text: str | None, names: Sequence[str]) -> dict[str, int]:
  """Returns how many times an epoch uses each set's captions, by its name.

  The name of a single set is "": its name is not in the names of its layers.
  """
  words = ["1"] if text is None else text.split(",")
  if len(words) == 1:
    words *= len(names)
  times = [int(word) if word.strip().isdecimal() else 0 for word in words]
  if len(times) != len(names) or not all(1 <= each <= 1000 for each in times):
    raise UserError(
      f"--repeat={text}: expected whole numbers from 1 to 1000, one for all "
      f"directories of --exemplars or {len(names)}, one for each."
    )
  return dict(zip(names, times, strict=True))


def _folders(data: SetOptions) -> tuple[pathlib.Path, ...]:
  """Returns the folders of the exemplars; downloads networks that are missing."""
  if data.data:
    if data.exemplars:
      raise UserError(
        f"--data={data.data}, --exemplars={data.exemplars}: give one of them; --data "
        "also takes folders."
      )
    return tuple(fetch_annotated(data.data, root=data.data_root).values())
  if not data.exemplars:
    raise UserError(
      "--exemplars: give a folder of annotated exemplars, or networks of "
      "MILANNOTATIONS with --data, such as base."
    )
  return tuple(set_folder(path.strip()) for path in data.exemplars.split(","))


def _limited(
  described: Mapping[Unit, Sequence[str]],
  data: SetOptions,
  folder: pathlib.Path,
  say: Say,
) -> dict[Unit, Sequence[str]]:
  """Leaves out units with too few captions, and captions beyond the maximum."""
  least, most = data.min_annotations, data.max_annotations
  if least < 1 or (most is not None and most < least):
    raise UserError(
      f"--min_annotations={least}, --max_annotations={most}: expected a minimum of at "
      "least 1 and a maximum of at least the minimum."
    )
  kept = {unit: said[:most] for unit, said in described.items() if len(said) >= least}
  if len(kept) < len(described):
    say(
      f"{folder}: {len(described) - len(kept)} of {len(described)} units have fewer "
      f"than {least} annotations and are left out"
    )
  if not kept:
    raise UserError(
      f"--min_annotations={least}: no unit of {folder} has as many annotations: lower "
      "it."
    )
  return kept


def read_set(
  folder: pathlib.Path,
  annotations: str | None,
  table: str | None,
  data: SetOptions,
  say: Say,
) -> AnnotatedSet:
  """Reads one folder.

  Args:
    folder: the exemplars.
    annotations: their annotations; None for those in the folder.
    table: their split; None for that in the folder, if there is one.
    data: the limits of annotations.
    say: called with each line of progress.

  Raises:
    UserError: if a file is missing or damaged, or no annotated unit has exemplars.
  """
  given = _limited(read_annotations(annotations or folder), data, folder, say)
  permitted = permitted_captions(given)
  if permitted.left_out:
    say(
      f"{permitted.left_out} captions give persons a color or judge them (such as "
      f"{permitted.example!r}) and are left out"
    )
  described = permitted.captions
  path = pathlib.Path(table or folder / FILE)
  return AnnotatedSet(
    folders=(folder,),
    exemplars=_annotated(open_exemplars(folder), described),
    described=described,
    left_out=permitted.left_out,
    split=read_split(path) if table or path.is_file() else None,
    truths=read_truths(folder) if (folder / TRUTH).is_file() else None,
  )


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


def _annotated(
  whole: ExemplarSet, annotations: Mapping[Unit, Sequence[str]]
) -> ExemplarSet:
  """Leaves out units and layers without captions, so that they are not encoded."""
  rows = {}
  for layer in whole.layers:
    units = whole.exemplars(layer).signed_units()
    known = [row for row, unit in enumerate(units) if unit in annotations]
    if known:
      rows[layer] = np.array(known)
  if not rows:
    layers = sorted({unit.layer for unit in annotations})
    raise UserError(
      f"No annotated unit has exemplars: annotations are of {', '.join(layers[:8])}; "
      f"exemplars are of {', '.join(whole.layers[:8])}."
    )
  return ChosenExemplars(whole, rows)


def known_sources(folders: Sequence[pathlib.Path]) -> dict[str, Any]:
  """Returns the model card's entry on corpora: the photographs used in training.

  Raises:
    UserError: if a corpus's manifest is damaged.
  """
  seen: list[str] = []
  manifests = [path for each in folders if (path := each / MANIFEST).is_file()]
  for path in manifests:
    manifest = read_json(path, dict, remedy="build the corpus again")
    try:
      seen += [
        row["sha256"][:16]
        for row in manifest.get("photographs", ())
        if row["split"] in ("train", "validation")
      ]
    except (TypeError, KeyError) as error:
      raise UserError(
        f"{path}: expected photographs with sha256 and split ({error}): build the "
        "corpus again."
      ) from error
  return {"trained_on": seen} if manifests else {}


def _as_said(captions: Sequence[str]) -> list[str]:
  """Tokenizes and joins captions like a captioner: "cannot" becomes two words."""
  split = Tokenizer()
  return [reconstruct(split(caption)).lower() for caption in captions]
