"""The training data: annotated units with features."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.records import Unit
from milan_jax._src.text import tokenizer
from milan_jax._src.training import batches

# Number of rows of features that are read at once for the fingerprint.
_TOGETHER = 256


@runtime_checkable
class Table(Protocol):
  """Features of a layer's units: an array, or what reads rows of one on demand."""

  @property
  def shape(self) -> tuple[int, ...]:
    """Numbers of units, regions and features."""

  def __getitem__(self, rows: Any, /) -> Any:
    """Reads the features of some rows, as an array."""


# The features of each layer's units.
Tables = Mapping[str, Table]


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingData:
  """The annotated units that have features, in the order of layers and rows.

  Attributes:
    units: the units.
    gather: returns the features of units by their index in `units`.
    captions: the tokens of each caption of each unit.
    summaries: the captions as written by the annotators.
    feature_size: size of a region's features.
    fingerprint: digest of units, captions and features.
    repeats: how many times an epoch takes the captions of each unit.
  """

  units: tuple[Unit, ...]
  gather: batches.Gather
  captions: list[list[list[str]]]
  summaries: list[list[str]]
  feature_size: int
  fingerprint: str
  repeats: Int[np.ndarray, "units"]


def find_annotated(
  features: Tables,
  units: Mapping[str, Sequence[Unit]],
  annotations: Mapping[Unit, Sequence[str]],
  repeats: Mapping[Unit, int] | None = None,
  *,
  known_digest: str | None = None,
) -> TrainingData:
  """Matches features with annotations, and tokenizes the captions.

  Args:
    features: features of each unit's exemplars, by layer; may be memory-mapped.
    units: the unit of each row of `features`.
    annotations: descriptions of units.
    repeats: how many times an epoch takes the captions of each unit; None for once.
    known_digest: digest of the features; None reads all of them.

  Raises:
    UserError: if no annotated unit has features, or layers have different shapes.
  """
  shapes = {table.shape[1:] for table in features.values()}
  if len(shapes) > 1:
    raise UserError(
      f"expected one shape (k, features) for the features of all layers, but got "
      f"{sorted(shapes)}: compute them with one encoder and one k"
    )
  found = [
    (number, row, list(annotations[unit]))
    for number, layer in enumerate(features)
    for row, unit in enumerate(units[layer])
    if unit in annotations
  ]
  if not found:
    annotated = sorted({unit.layer for unit in annotations})
    raise UserError(
      f"no annotated unit has features: annotations are of layers {annotated[:8]}, and "
      f"features of layers {list(features)[:8]}: annotate the same layers."
    )
  gather = _gather_from(
    list(features.values()),
    np.array([number for number, _, _ in found]),
    np.array([row for _, row, _ in found]),
  )
  split = tokenizer.Tokenizer()
  written = [summaries for _, _, summaries in found]
  captions = [[split(summary) for summary in summaries] for summaries in written]
  read: Iterable[np.ndarray | str] = [known_digest or ""]
  if known_digest is None:
    starts = range(0, len(found), _TOGETHER)
    read = (gather(np.arange(i, min(i + _TOGETHER, len(found)))) for i in starts)
  digest = sha256_of(itertools.chain([json.dumps([list(features), found])], read))
  feature_size = shapes.pop()[-1]
  layers = list(features)
  known = tuple(units[layers[number]][row] for number, row, _ in found)
  times = np.array([1 if repeats is None else repeats[unit] for unit in known])
  return TrainingData(known, gather, captions, written, feature_size, digest, times)


def _gather_from(
  tables: Sequence[Table],
  layers: Int[np.ndarray, "units"],
  rows: Int[np.ndarray, "units"],
) -> batches.Gather:
  """Returns a function that reads rows of several tables, by index into `rows`."""

  def gather(
    wanted: Int[np.ndarray, "batch"],
  ) -> Float[np.ndarray, "batch k features"]:
    found = np.empty((len(wanted), *tables[0].shape[1:]), np.float32)
    for number, table in enumerate(tables):
      here = layers[wanted] == number
      if here.any():
        found[here] = table[rows[wanted][here]]
    return found

  return gather
