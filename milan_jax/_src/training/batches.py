"""Batches of captions, shuffled by seed and epoch, padded to few compiled shapes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from milan_jax._src.text import vocabulary as vocabularies

# Lengths of batches are rounded up to a multiple of this, so that an epoch compiles a
# handful of programs rather than one for each longest caption. The losses do not see
# the added steps.
LENGTH_MULTIPLE = 8

# Gives the features of units, by their rows.
Gather = Callable[[Int[np.ndarray, "batch"]], Float[np.ndarray, "batch k features"]]


class Samples(NamedTuple):
  """Captions to train on, one a row, all of one length.

  Attributes:
    tokens: ids; start first, stop after the last token, then padding.
    rows: the unit of each caption, as a row of the features.
  """

  tokens: Int[np.ndarray, "captions length"]
  rows: Int[np.ndarray, "captions"]


class Batch(NamedTuple):
  """What one step trains on.

  Attributes:
    inputs: ids read, start first.
    targets: ids to predict, each the one after the input.
    weights: 1 for a caption, 0 for a row that only fills the batch.
    features: features of each caption's unit; None for the language model.
  """

  inputs: Int[Array, "batch length"] | Int[np.ndarray, "batch length"]
  targets: Int[Array, "batch length"] | Int[np.ndarray, "batch length"]
  weights: Float[Array, "batch"] | Float[np.ndarray, "batch"]
  features: (
    Float[Array, "batch k features"] | Float[np.ndarray, "batch k features"] | None
  ) = None


def make_samples(
  captions: Sequence[Sequence[Sequence[str]]],
  rows: Sequence[int] | Int[np.ndarray, "units"],
  *,
  vocabulary: vocabularies.Vocabulary,
  length: int | None = None,
) -> Samples:
  """Returns one sample for each caption of each unit.

  Args:
    captions: the tokens of each caption of each unit of the data set.
    rows: the units to take, as positions in `captions`.
    vocabulary: gives the ids.
    length: number of tokens kept of a caption; that of the longest by default. The
      original keeps 15 when it describes, and 4.6 % of human captions are longer.
  """
  taken = [(row, tokens) for row in rows for tokens in captions[row]]
  ids = vocabulary.encode_batch([tokens for _, tokens in taken], length=length)
  return Samples(ids, np.array([row for row, _ in taken], np.int64))


def num_batches(samples: Samples, batch_size: int) -> int:
  """Returns the number of batches of an epoch, the last and smaller one included."""
  return -(-len(samples.rows) // batch_size)


def shuffled(samples: Samples, *, seed: int, epoch: int) -> Samples:
  """Returns the samples in the order of an epoch, which seed and epoch decide."""
  order = np.random.default_rng((seed, epoch)).permutation(len(samples.rows))
  return Samples(samples.tokens[order], samples.rows[order])


def batches(
  samples: Samples,
  *,
  batch_size: int,
  pad_id: int,
  gather: Gather | None = None,
  start: int = 0,
  num_devices: int = 1,
) -> Iterator[Batch]:
  """Yields the samples in their order, all batches with the same number of rows.

  Args:
    samples: what to train on.
    batch_size: captions in a batch; the last batch is filled up with rows of weight 0.
    pad_id: the padding id; columns that are all padding are cut off.
    gather: gives the features of units; None leaves them out.
    start: number of batches to skip.
    num_devices: the number of rows is rounded up to a multiple of it.
  """
  num_rows = -(-batch_size // num_devices) * num_devices
  for first in range(start * batch_size, len(samples.rows), batch_size):
    tokens = samples.tokens[first : first + batch_size]
    rows = samples.rows[first : first + batch_size]
    used = int((tokens != pad_id).sum(axis=1).max()) - 1
    length = -(-used // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
    ids = np.full((num_rows, length + 1), pad_id, np.int32)
    width = min(length + 1, tokens.shape[1])
    ids[: len(rows), :width] = tokens[:, :width]
    weights = np.zeros(num_rows, np.float32)
    weights[: len(rows)] = 1
    features = None
    if gather is not None:
      found = gather(rows)
      features = np.zeros((num_rows, *found.shape[1:]), np.float32)
      features[: len(rows)] = found
    yield Batch(ids[:, :-1], ids[:, 1:], weights, features)
