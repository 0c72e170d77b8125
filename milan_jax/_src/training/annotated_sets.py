"""The data that a captioner is trained on: exemplars, captions and split, checked."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

from milan_jax._src.options.train import DataOptions
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.store.feature_records import FeatureRecords
from milan_jax._src.store.splits import FILE
from milan_jax._src.text.judge import Truth
from milan_jax._src.training.annotated_folder import Origin
from milan_jax._src.training.calibrate import check_truths
from milan_jax._src.training.joined_folders import read_whole
from milan_jax._src.training.matching import keep_matched, split_rows
from milan_jax._src.training.repeats import repeats_of
from milan_jax._src.training.splitting import Split

Say = Callable[[str], None]


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
