"""Reads training data from features that `milan-features` computed."""

from collections.abc import Callable

from milan_jax._src.errors import UserError
from milan_jax._src.options.fields import changed
from milan_jax._src.options.train import DataOptions, SetOptions
from milan_jax._src.store.feature_records import FeatureKey, open_records
from milan_jax._src.store.splits import FILE, read_split
from milan_jax._src.training.annotated_folder import Origin
from milan_jax._src.training.annotated_sets import AnnotatedSets, rows_of
from milan_jax._src.training.calibrate import check_truths
from milan_jax._src.training.repeats import repeats_of

Say = Callable[[str], None]
_WITHOUT_TRUTHS = (
  "No confidence will be fitted: an earlier version wrote the features, without the "
  "truths of their corpus. Run milan-features again in another workdir to get one"
)
_WITHOUT_SPLIT = (
  "No confidence will be fitted: it needs a given split; the features have none, so "
  "give one with --split"
)
# The options of exemplars that have a meaning for computed features.
_ALLOWED = {"--split"}


def read_recorded(
  data: DataOptions, key: FeatureKey, *, seed: int, say: Say
) -> AnnotatedSets:
  """Reads features, captions and split of a data set.

  Args:
    data: the data set, and another split if wanted.
    key: what the features must have been computed by.
    seed: seed of a random split.
    say: called with each line of progress.

  Raises:
    UserError: if the data set is missing, damaged or of another encoder, options of
      exemplars are given, or a part is empty.
  """
  sets = SetOptions(**{name: getattr(data, name) for name in SetOptions.__slots__})
  given = [flag for flag in changed(sets) if flag not in _ALLOWED]
  if given:
    raise UserError(
      f"--features={data.features}: it holds annotated units, so {', '.join(given)} "
      "cannot be given; give them to milan-features."
    )
  records = open_records(data.features or "", key)
  by_layer = {layer: records.signed_units(layer) for layer in records.layers}
  units = [unit for layer in by_layer.values() for unit in layer]
  annotations = records.annotations()
  split = read_split(data.split) if data.split else records.split()
  rows = rows_of(
    units, split, data, seed=seed, say=say, name=str(records.folder / FILE)
  )
  truths = None
  if split is not None:
    split = {unit: split[unit] for unit in units}
    truths = records.truths()
    if truths is not None:
      check_truths(split, truths)
  found = records.origin
  origin = Origin(
    left_out=found["left_out"],
    nothing=tuple(found["nothing"]),
    sources=found["sources"],
    sets=tuple(found["sets"]),
  )
  if origin.nothing and truths is None:
    say(_WITHOUT_TRUTHS if records.truths() is None else _WITHOUT_SPLIT)
  return AnnotatedSets(
    units=by_layer,
    annotations=annotations,
    rows=rows,
    split=split,
    truths=truths,
    repeats=repeats_of(units, data.repeat, origin.sets),
    origin=origin,
    described=annotations,
    records=records,
  )
