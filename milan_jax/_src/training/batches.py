"""Batches of captions: shuffled by seed and epoch, padded to a few compiled shapes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.text import vocabulary as vocabularies

# The length of a batch is rounded up, so that an epoch compiles a few programs instead
# of one for each maximum length: to one of a few chosen lengths, or beyond them to a
# multiple of this. The losses mask the added steps.
LENGTH_MULTIPLE = 8
# At most so many lengths are chosen.
MAX_LENGTHS = 6
# Another length must save so many steps of captions in an epoch, since each length
# compiles a program, which takes as long as some ten thousand steps on a CPU.
STEPS_PER_LENGTH = 500
# The output layer reads a multiple of this fraction of a batch's positions.
POSITION_FRACTION = 1 / 4
# The same, where the number of positions is chosen once for all batches of a length.
CHOSEN_FRACTION = 1 / 8

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
    positions: the positions that the output layer reads, on each device: those of real
      tokens first. A position counts the device's captions of the first step, then of
      the second, and so on. None reads all positions.
  """

  inputs: Int[Array, "batch length"] | Int[np.ndarray, "batch length"]
  targets: Int[Array, "batch length"] | Int[np.ndarray, "batch length"]
  weights: Float[Array, "batch"] | Float[np.ndarray, "batch"]
  features: (
    Float[Array, "batch k features"] | Float[np.ndarray, "batch k features"] | None
  ) = None
  positions: Int[Array, "devices tokens"] | Int[np.ndarray, "devices tokens"] | None = (
    None
  )


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
  samples: Samples,
  *,
  batch_size: int,
  pad_id: int,
  lengths: Sequence[int] = (),
  seed: int,
  epoch: int,
) -> Samples:
  """Returns the samples in an epoch's order, in batches of similar lengths.

  The samples are shuffled as in `shuffled`. Those that fill no whole batch stay last.
  The others are sorted by their padded length, samples of one padded length in the
  shuffled order, and cut into batches, which are shuffled. At most one batch for each
  pair of neighboring lengths is mixed.

  Args:
    samples: the samples to train on.
    batch_size: captions per batch.
    pad_id: the padding id.
    lengths: as for `padded_lengths`.
    seed: the run's seed.
    epoch: the number of the epoch.
  """
  rng = np.random.default_rng((seed, epoch))
  order = rng.permutation(len(samples.rows))
  num_whole = len(order) // batch_size
  whole, rest = np.split(order, [num_whole * batch_size])
  padded = padded_lengths(samples, pad_id=pad_id, lengths=lengths)
  whole = whole[np.argsort(padded[whole], kind="stable")]
  whole = whole.reshape(num_whole, batch_size)[rng.permutation(num_whole)]
  order = np.concatenate([whole.ravel(), rest])
  return Samples(samples.tokens[order], samples.rows[order])


def by_length(samples: Samples, *, pad_id: int, lengths: Sequence[int] = ()) -> Samples:
  """Returns the samples sorted by padded length, otherwise in their order."""
  padded = padded_lengths(samples, pad_id=pad_id, lengths=lengths)
  order = np.argsort(padded, kind="stable")
  return Samples(samples.tokens[order], samples.rows[order])


def padded_lengths(
  samples: Samples, *, pad_id: int, lengths: Sequence[int] = ()
) -> Int[np.ndarray, "captions"]:
  """Returns each caption's number of targets, rounded up.

  Args:
    samples: the captions.
    pad_id: the padding id.
    lengths: the lengths to round up to, ascending; beyond the last one, and without
      any, numbers are rounded up to a multiple of `LENGTH_MULTIPLE`.
  """
  used = _num_targets(samples, pad_id)
  padded: Int[np.ndarray, "captions"] = -(-used // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
  if lengths:
    known = np.asarray(lengths)
    places = np.searchsorted(known, used).clip(max=len(known) - 1)
    padded = np.where(used <= known[-1], known[places], padded)
  return padded


def _num_targets(samples: Samples, pad_id: int) -> Int[np.ndarray, "captions"]:
  used: Int[np.ndarray, "captions"] = (samples.tokens != pad_id).sum(axis=1) - 1
  return used


def choose_lengths(samples: Samples, *, pad_id: int) -> tuple[int, ...]:
  """Chooses the lengths that captions are padded to, so that an epoch is shortest.

  They minimize the number of steps of all captions, plus `STEPS_PER_LENGTH` for each
  length, by dynamic programming over the lengths that occur.

  Args:
    samples: the training samples.
    pad_id: the padding id.

  Returns:
    At most `MAX_LENGTHS` lengths, ascending; the last one is the longest caption's.
  """
  known, numbers = np.unique(_num_targets(samples, pad_id), return_counts=True)
  before = np.concatenate([[0], np.cumsum(numbers)])
  # The least cost of the first n lengths, and the choice that has it.
  best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
  best += [(np.inf, ())] * len(known)
  answer = best[-1]
  for _ in range(MAX_LENGTHS):
    following: list[tuple[float, tuple[int, ...]]] = []
    following += [(np.inf, ())] * (len(known) + 1)
    for end in range(1, len(known) + 1):
      length = int(known[end - 1])
      costs = [
        cost + length * int(before[end] - before[begin]) + STEPS_PER_LENGTH
        for begin, (cost, _) in enumerate(best[:end])
      ]
      begin = int(np.argmin(costs))
      following[end] = (costs[begin], (*best[begin][1], length))
    best = following
    answer = min(answer, best[-1])
  return answer[1]


def batches(
  samples: Samples,
  *,
  batch_size: int,
  pad_id: int,
  lengths: Sequence[int] = (),
  gather: Gather | None = None,
  start: int = 0,
  num_devices: int = 1,
  positions: Mapping[int, int] | None = None,
  packed: bool = True,
) -> Iterator[Batch]:
  """Yields the samples in order, in batches with the same number of rows.

  Args:
    samples: the samples to train on.
    batch_size: captions per batch; the last batch is padded with rows of weight 0.
    pad_id: the padding id; columns of only padding are removed.
    lengths: as for `padded_lengths`.
    gather: returns the features of units; None for batches without features.
    start: number of batches to skip.
    num_devices: the number of rows is rounded up to a multiple of this.
    positions: the number of positions that the output layer reads on each device, by
      length (`choose_positions`); other lengths get the batch's own number.
    packed: whether to list the positions of real tokens, for an output layer that reads
      only those.
  """
  num_rows = -(-batch_size // num_devices) * num_devices
  for first in range(start * batch_size, len(samples.rows), batch_size):
    tokens = samples.tokens[first : first + batch_size]
    rows = samples.rows[first : first + batch_size]
    some = Samples(tokens, rows)
    length = int(padded_lengths(some, pad_id=pad_id, lengths=lengths).max())
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
    read = None
    if packed:
      read = real_positions(
        ids[:, 1:] != pad_id, num_devices, number=(positions or {}).get(length)
      )
    yield Batch(ids[:, :-1], ids[:, 1:], weights, features, read)


def choose_positions(
  orders: Iterable[Samples],
  *,
  batch_size: int,
  pad_id: int,
  lengths: Sequence[int],
  num_devices: int = 1,
) -> dict[int, int]:
  """Chooses how many positions the output layer reads of batches of each length.

  With one number for each length, an epoch compiles one program for each length.

  Args:
    orders: the samples in the order of some epochs: the number fits all their batches.
    batch_size: captions per batch.
    pad_id: the padding id.
    lengths: as for `padded_lengths`.
    num_devices: number of devices that share a batch.

  Returns:
    The number of positions on a device, by the batch's length.
  """
  rows = -(-batch_size // num_devices)
  most: dict[int, int] = {}
  for samples in orders:
    used = _num_targets(samples, pad_id)
    padded = padded_lengths(samples, pad_id=pad_id, lengths=lengths)
    for first in range(0, len(used), batch_size):
      some = slice(first, first + batch_size)
      length = int(padded[some].max())
      on_devices = np.add.reduceat(used[some], range(0, len(used[some]), rows))
      most[length] = max(most.get(length, 0), int(on_devices.max()))
  return {
    length: _rounded(number, rows * length, CHOSEN_FRACTION)
    for length, number in most.items()
  }


def _rounded(number: int, positions: int, fraction: float) -> int:
  """Rounds a number of positions up to a multiple of a fraction of all positions."""
  unit = math.ceil(positions * fraction)
  return math.ceil(number / unit) * unit


def real_positions(
  is_real: Bool[np.ndarray, "batch length"],
  num_devices: int,
  *,
  number: int | None = None,
) -> Int[np.ndarray, "devices tokens"] | None:
  """Returns `Batch.positions`; None if the output layer would read nearly all.

  Args:
    is_real: the positions of real tokens.
    num_devices: number of devices that share the batch.
    number: number of positions to list for each device, if its real tokens are not
      more; None for as many as there are real tokens, rounded up.
  """
  batch, length = is_real.shape
  by_device = is_real.reshape(num_devices, batch // num_devices, length)
  flat = by_device.swapaxes(1, 2).reshape(num_devices, -1)
  most = int(flat.sum(1).max())
  if number is None or most > number:
    number = _rounded(most, flat.shape[1], POSITION_FRACTION)
  if number >= flat.shape[1]:
    return None
  order = np.argsort(~flat, axis=1, kind="stable")[:, :number]
  positions: Int[np.ndarray, "devices tokens"] = order.astype(np.int32)
  return positions
