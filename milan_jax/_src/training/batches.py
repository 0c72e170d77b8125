"""Batches of captions: shuffled by seed and epoch, padded to a few compiled shapes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from milan_jax._src.text import vocabulary as vocabularies

# The length of a batch is rounded up to a multiple of this, so that an epoch compiles a
# few programs instead of one for each maximum length. The losses mask the added steps.
LENGTH_MULTIPLE = 8

# Returns the features of units by their rows.
Gather = Callable[[Int[np.ndarray, "batch"]], Float[np.ndarray, "batch k features"]]


class Samples(NamedTuple):
  """Captions to train on, one per row, padded to one length.

  Attributes:
    tokens: ids: start, the tokens, stop, then padding.
    rows: the unit of each caption, as a row of the features.
  """

  tokens: Int[np.ndarray, "captions length"]
  rows: Int[np.ndarray, "captions"]


class Batch(NamedTuple):
  """The input of one training step.

  Attributes:
    inputs: input ids, beginning with start.
    targets: ids to predict; each follows its input.
    weights: 1 for a caption, 0 for a padding row.
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
    rows: the units to use, as indices into `captions`.
    vocabulary: maps tokens to ids.
    length: maximum number of tokens kept of a caption; by default the longest's. The
      original decodes at most 15; 4.6 % of human captions are longer.
  """
  taken = [(row, tokens) for row in rows for tokens in captions[row]]
  ids = vocabulary.encode_batch([tokens for _, tokens in taken], length=length)
  return Samples(ids, np.array([row for row, _ in taken], np.int64))


def num_batches(samples: Samples, batch_size: int) -> int:
  """Returns the number of batches per epoch, including a smaller last one."""
  return -(-len(samples.rows) // batch_size)


def shuffled(samples: Samples, *, seed: int, epoch: int) -> Samples:
  """Returns the samples in an epoch's order, determined by seed and epoch."""
  order = np.random.default_rng((seed, epoch)).permutation(len(samples.rows))
  return Samples(samples.tokens[order], samples.rows[order])


def grouped(
  samples: Samples, *, batch_size: int, pad_id: int, seed: int, epoch: int
) -> Samples:
  """Returns the samples in an epoch's order, in batches of similar lengths.

  The samples are shuffled as in `shuffled`. Those that fill no whole batch stay last.
  The others are sorted by the multiple of `LENGTH_MULTIPLE` that their length is
  rounded up to, samples of one such length in the shuffled order, and cut into batches,
  which are shuffled. At most one batch for each pair of neighboring lengths is mixed.

  Args:
    samples: the samples to train on.
    batch_size: captions per batch.
    pad_id: the padding id.
    seed: the run's seed.
    epoch: the number of the epoch.
  """
  rng = np.random.default_rng((seed, epoch))
  order = rng.permutation(len(samples.rows))
  num_whole = len(order) // batch_size
  whole, rest = np.split(order, [num_whole * batch_size])
  lengths = padded_lengths(samples, pad_id=pad_id)
  whole = whole[np.argsort(lengths[whole], kind="stable")]
  whole = whole.reshape(num_whole, batch_size)[rng.permutation(num_whole)]
  order = np.concatenate([whole.ravel(), rest])
  return Samples(samples.tokens[order], samples.rows[order])


def by_length(samples: Samples, *, pad_id: int) -> Samples:
  """Returns the samples sorted by padded length, otherwise in their order."""
  order = np.argsort(padded_lengths(samples, pad_id=pad_id), kind="stable")
  return Samples(samples.tokens[order], samples.rows[order])


def padded_lengths(samples: Samples, *, pad_id: int) -> Int[np.ndarray, "captions"]:
  """Returns each caption's number of targets, rounded up to `LENGTH_MULTIPLE`."""
  used = (samples.tokens != pad_id).sum(axis=1) - 1
  lengths: Int[np.ndarray, "captions"] = -(-used // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
  return lengths


def batches(
  samples: Samples,
  *,
  batch_size: int,
  pad_id: int,
  gather: Gather | None = None,
  start: int = 0,
  num_devices: int = 1,
) -> Iterator[Batch]:
  """Yields the samples in order, in batches with the same number of rows.

  Args:
    samples: the samples to train on.
    batch_size: captions per batch; the last batch is padded with rows of weight 0.
    pad_id: the padding id; columns of only padding are removed.
    gather: returns the features of units; None for batches without features.
    start: number of batches to skip.
    num_devices: the number of rows is rounded up to a multiple of this.
  """
  num_rows = -(-batch_size // num_devices) * num_devices
  for first in range(start * batch_size, len(samples.rows), batch_size):
    tokens = samples.tokens[first : first + batch_size]
    rows = samples.rows[first : first + batch_size]
    length = int(padded_lengths(Samples(tokens, rows), pad_id=pad_id).max())
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
