"""A histogram of float32 values, binned by the leading bits of their bit patterns.

Read as an integer, with negative numbers reversed, a float32's bits grow with its
value. A bin holds the values that share a sign, an exponent and the first
`MANTISSA_BITS` bits of the mantissa, so its width is at most 2 ** -MANTISSA_BITS of its
values, whatever their units. Values that share a sign and an exponent are an octave, of
128 bins:

          octave 133          octave 134            octave 135
    ---|---------------|-----------------------|----------------|--->  values
       64              128                     256              512
                        [128 [129 [130 .. [255
                        128 bins, each 1 wide

  >>> values = np.array([127.9, 128.0, 130.5, 255.9, 256.0], np.float32)
  >>> bins_of(values) // 128  # octaves
  array([133, 134, 134, 134, 135]...)
  >>> bins_of(values) % 128  # bins within the octave
  array([127,   0,   2, 127,   0]...)

Negative values mirror positive ones, and bin 0 begins with zero:

  >>> bins_of(np.array([-130.5, -0.0, 0.0, 130.5], np.float32))
  array([-17155,      0,      0,  17154]...)

Each bin has its count, its least and its greatest value, all of which merge exactly.
Memory is taken by blocks, one octave of one unit, and only where the unit has values.
A state is donated to the function that takes it: use only the state that it returns.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, Integer, UInt16

MANTISSA_BITS = 7
_BINS = 1 << MANTISSA_BITS  # in one octave
_SHIFT = 23 - MANTISSA_BITS  # from a float32's bits to its bin
_REST = (1 << _SHIFT) - 1  # the bits in which a bin's values differ
_NO_REST = np.uint16(np.iinfo(np.uint16).max)
_OCTAVES = 512  # a sign and eight bits of exponent
_BLOCKS_TOGETHER = 1024  # blocks moved at once
NO_BIN = -(_OCTAVES // 2) * _BINS  # lower than every value's bin
_LARGEST = int(np.float32(np.finfo(np.float32).max).view(np.int32))


@dataclasses.dataclass(frozen=True, slots=True)
class BinCounts:
  """The histogram of some units, in blocks: one octave of one unit each.

  Attributes:
    num_units: number of units.
    octaves: octave of each block.
    units: unit of each block.
    counts: number of values in each bin.
    least: lower bits (below the bin's own) of its least value; all ones if empty.
    greatest: lower bits of its greatest value; zeros if empty.
    sums: total count of each block.
  """

  num_units: int
  octaves: Int[np.ndarray, "blocks"]
  units: Int[np.ndarray, "blocks"]
  counts: Integer[np.ndarray, "blocks bins"]
  least: UInt16[np.ndarray, "blocks bins"]
  greatest: UInt16[np.ndarray, "blocks bins"]
  sums: Int[np.ndarray, "blocks"]


def start(units: int, num_total: int) -> BinCounts:
  """Returns an empty histogram; no unit will have more than `num_total` values."""
  dtype = np.uint32 if num_total <= np.iinfo(np.uint32).max else np.uint64
  no_blocks = np.zeros(0, np.int64)
  return BinCounts(
    num_units=units,
    octaves=no_blocks,
    units=no_blocks,
    counts=np.zeros((0, _BINS), dtype),
    least=np.zeros((0, _BINS), np.uint16),
    greatest=np.zeros((0, _BINS), np.uint16),
    sums=no_blocks,
  )


def bins_of(values: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
  """Returns the bin of each value; larger values have larger bins."""
  return _ordered(values) >> _SHIFT


def edge(bins: Int[np.ndarray, "*n"], below: int = 0) -> Float[np.ndarray, "*n"]:
  """Returns the lower edge of a bin, or the float32 `below` steps under it."""
  return _values((bins.astype(np.int64) << _SHIFT) - below)


def add(
  state: BinCounts, values: Float[np.ndarray, "n"], units: Int[np.ndarray, "n"]
) -> BinCounts:
  """Counts values; `units` has the unit of each."""
  if not values.size:
    return state
  ordered = _ordered(values)
  bins = ordered >> _SHIFT
  octaves = bins >> MANTISSA_BITS
  # Negative octaves index from the end: no offset is needed.
  blocks = _blocks(state)[octaves, units]
  if blocks.min() < 0:
    state = _with_blocks(state, octaves, units)
    blocks = _blocks(state)[octaves, units]
  at = blocks * _BINS + (bins & (_BINS - 1))
  rest = (ordered & _REST).astype(np.uint16)
  np.add.at(state.counts.reshape(-1), at, state.counts.dtype.type(1))
  np.minimum.at(state.least.reshape(-1), at, rest)
  np.maximum.at(state.greatest.reshape(-1), at, rest)
  sums = state.sums + np.bincount(blocks, minlength=len(state.sums))
  return dataclasses.replace(state, sums=sums)


def add_to_bins(
  state: BinCounts,
  values: Float[np.ndarray, "n some"],
  units: Int[np.ndarray, "some"],
  bins: Int[np.ndarray, "some"],
) -> None:
  """Counts the values of each unit that lie in one given bin, which must not be empty.

  Args:
    state: changed in place.
    values: values of each unit.
    units: the units.
    bins: one bin of each unit.
  """
  inside = (values >= edge(bins)[None, :]) & (values < edge(bins + 1)[None, :])
  at = (_blocks(state)[bins >> MANTISSA_BITS, units], bins & (_BINS - 1))
  rest = (_ordered(values) & _REST).astype(np.uint16)
  number = inside.sum(axis=0)
  state.counts[at] += number.astype(state.counts.dtype)
  least = rest.min(axis=0, where=inside, initial=_NO_REST)
  state.least[at] = np.minimum(state.least[at], least)
  greatest = rest.max(axis=0, where=inside, initial=0)
  state.greatest[at] = np.maximum(state.greatest[at], greatest)
  state.sums[at[0]] += number


def counts_in(
  state: BinCounts, bins: Int[np.ndarray, "units"]
) -> Int[np.ndarray, "units"]:
  """Returns the number of values in one bin of each unit."""
  blocks = _blocks(state)[bins >> MANTISSA_BITS, np.arange(len(bins))]
  found = np.zeros(len(bins), np.int64)
  known = np.flatnonzero(blocks >= 0)
  found[known] = state.counts[blocks[known], bins[known] & (_BINS - 1)]
  return found


def merge(a: BinCounts, b: BinCounts) -> BinCounts:
  """Merges two histograms; both are donated."""
  merged = _with_blocks(a, b.octaves, b.units)
  blocks = _blocks(merged)[b.octaves, b.units]
  merged.counts[blocks] += b.counts
  merged.least[blocks] = np.minimum(merged.least[blocks], b.least)
  merged.greatest[blocks] = np.maximum(merged.greatest[blocks], b.greatest)
  merged.sums[blocks] += b.sums
  return merged


def drop_below(state: BinCounts, bins: Int[np.ndarray, "units"]) -> BinCounts:
  """Drops the octaves that lie entirely below one bin of each unit; donates `state`."""
  keep = state.octaves >= (bins >> MANTISSA_BITS)[state.units]
  if 2 * keep.sum() > len(keep):
    return state  # too few to pay for moving the others
  rows = np.flatnonzero(keep)
  for blocks in (state.counts, state.least, state.greatest):
    # In place, a few at a time: a block never overwrites one that is still to move.
    for first in range(0, len(rows), _BLOCKS_TOGETHER):
      moved = rows[first : first + _BLOCKS_TOGETHER]
      blocks[first : first + len(moved)] = blocks[moved]
    blocks.resize((len(rows), _BINS), refcheck=False)
  return dataclasses.replace(
    state,
    octaves=state.octaves[keep],
    units=state.units[keep],
    sums=state.sums[keep],
  )


def locate(
  state: BinCounts, ranks: Int[np.ndarray, "units"]
) -> tuple[
  Int[np.ndarray, "units"],
  Float[np.ndarray, "units"],
  Float[np.ndarray, "units"],
  Float[np.ndarray, "units"],
]:
  """Finds the value of each rank, counted from the top: the largest has rank 1.

  The values of a bin are assumed to be spread evenly from its least to its greatest.
  So the error is less than the bin's width, and zero where all its values are equal.

  Returns:
    The bin, `NO_BIN` where a unit has fewer values; and, as float64, the value and the
    bin's least and greatest value.
  """
  # Octaves from the highest to the lowest, and the number of values down to each.
  downward = np.unique(np.append(state.octaves, -_OCTAVES // 2))[::-1]
  blocks = _blocks(state)[downward]
  sums = np.append(state.sums, 0)[blocks]  # block -1 is an empty one
  reached = sums.cumsum(axis=0)
  known = np.flatnonzero((ranks > 0) & (reached[-1] >= ranks))
  row = (reached[:, known] >= ranks[known]).argmax(axis=0)
  block = blocks[row, known]
  rank = ranks[known] - reached[row, known] + sums[row, known]  # within the octave
  counts = state.counts[block, ::-1].astype(np.int64)
  running = counts.cumsum(axis=1)
  column = (running >= rank[:, None]).argmax(axis=1)
  each = np.arange(len(known))
  count = counts[each, column]
  rank = rank - running[each, column] + count  # within the bin
  mantissa = _BINS - 1 - column
  bins = downward[row] * _BINS + mantissa
  low, high = (
    _values((bins << _SHIFT) + rest[block, mantissa]).astype(np.float64)
    for rest in (state.least, state.greatest)
  )
  value = high - (rank - 1) / np.maximum(count - 1, 1) * (high - low)
  found = np.full(len(ranks), NO_BIN, np.int64)
  found[known] = bins
  values = np.zeros((3, len(ranks)))
  values[:, known] = value, low, high
  return found, *values


def _ordered(values: Float[np.ndarray, "*n"]) -> Int[np.ndarray, "*n"]:
  """Returns integers in the order of the values."""
  bits = (values + np.float32(0)).view(np.int32)  # -0 + 0 = 0: one zero, not two
  # The bits of negative floats grow with their magnitude: reverse them.
  return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def _values(ordered: Int[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
  """Returns the values of ordered integers; infinity as the largest finite value."""
  bits = ordered.clip(~_LARGEST, _LARGEST).astype(np.int32)
  return (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)


def _blocks(state: BinCounts) -> Int[np.ndarray, "all units"]:
  """Returns the block of each octave and unit, -1 where there is none."""
  blocks = np.full((_OCTAVES, state.num_units), -1, np.int32)
  blocks[state.octaves, state.units] = np.arange(len(state.octaves))
  return blocks


def _with_blocks(
  state: BinCounts, octaves: Int[np.ndarray, "n"], units: Int[np.ndarray, "n"]
) -> BinCounts:
  """Adds empty blocks for the given octaves and units; `state` is donated."""
  missing = np.zeros((_OCTAVES, state.num_units), bool)
  missing[octaves, units] = True
  missing[state.octaves, state.units] = False
  new_octaves, new_units = np.nonzero(missing)
  new_octaves -= _OCTAVES * (new_octaves >= _OCTAVES // 2)  # the upper half: negative
  before = len(state.units)
  rows = before + len(new_units)
  # In place: a copy of all blocks would double the memory.
  for blocks in (state.counts, state.least, state.greatest):
    blocks.resize((rows, _BINS), refcheck=False)  # with zeros
  state.least[before:] = _NO_REST
  return dataclasses.replace(
    state,
    octaves=np.append(state.octaves, new_octaves),
    units=np.append(state.units, new_units),
    sums=np.append(state.sums, np.zeros(len(new_units), np.int64)),
  )
