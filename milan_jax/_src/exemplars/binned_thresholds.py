"""A quantile from exact counts of values in bins: memory does not grow with the data.

Only the top needs counting. With q = .99 the quantile lies between two order
statistics, the lower of which is the r-th value from the top, r about a hundredth of
all values. The number of all values is known beforehand. Once r values have been seen
at or above the lower edge of a bin, that order statistic cannot lie below the edge,
and no lower bin matters again. That bin is the unit's `bound`, which only rises. From
then on a value is counted only if it exceeds the unit's `floor`, the float32 just below
the bound's edge, and any other value costs one comparison. (`_floor` and `_crowded`
describe the exceptions, units that rest at zero or at another value.)

The .75 quantile of 16 values, of which the largest seven are shown, needs r = 5. Bins
are 1 wide here:

                    not counted | counted
    values    130.5  131.25     | 132 132.5 132.75  133.5         135
            |------|------|-----|-------------|------|------|------|--->
    edge    130    131         132           133    134    135    136
    count                           3           1      0      1
                             floor^|bound

  >>> top = [130.5, 131.25, 132.0, 132.5, 132.75, 133.5, 135.0]
  >>> values = np.array([9.0] * 9 + top, np.float32).reshape(16, 1, 1, 1)
  >>> state = update(start(1, 16, quantile=0.75), values, np.zeros(1, int))
  >>> bins.edge(state.bound), _floor(state.bound)
  (array([132.]...), array([131.99998]...))
  >>> [int(bins.counts_in(state.counted, state.bound + i)[0]) for i in range(4)]
  [3, 1, 0, 1]

The quantile lies halfway between the fifth and the fourth value from the top. Both are
in the bin of 132, whose three values are taken to be spread evenly from its least, 132,
to its greatest, 132.75: instead of 132.25 the result is

  >>> quantiles(state)
  (array([132.1875]), array([132.]), array([132.75]))

A state is donated to the function that takes it: use only the state that it returns.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.exemplars import bins
from milan_jax._src.exemplars.bins import BinCounts
from milan_jax._src.exemplars.quantiles import (
  first_floor,
  hazen_ranks,
  images_per_block,
  values_above,
)


@dataclasses.dataclass(frozen=True, slots=True)
class BinnedValues:
  """The state of a layer's counts.

  Attributes:
    quantile: the quantile sought, as a fraction.
    num_total: maximum number of values of a unit over the whole data set.
    num_seen: number of values of each unit so far, without NaN.
    bound: each unit's lowest bin that may still matter.
    counted: all values in bins at or above the bound, and some of those below. Once the
      bound is the bin of zero, zeros are not counted: an order statistic that is not
      found above them is zero.
    num_fresh: values counted since the bounds were last raised.
  """

  quantile: float
  num_total: int
  num_seen: Int[np.ndarray, "units"]
  bound: Int[np.ndarray, "units"]
  counted: BinCounts
  num_fresh: int = 0


def start(units: int, num_total: int, quantile: float) -> BinnedValues:
  """Returns the state before any value.

  Args:
    units: number of units.
    num_total: maximum number of values of a unit: images x height x width.
    quantile: between 0 and 1.
  """
  return BinnedValues(
    quantile=quantile,
    num_total=num_total,
    num_seen=np.zeros(units, np.int64),
    bound=np.full(units, bins.NO_BIN, np.int64),
    counted=bins.start(units, num_total),
  )


def update(
  state: BinnedValues,
  activations: Float[np.ndarray, "batch height width units"],
  num_nan: Int[np.ndarray, "units"],
) -> BinnedValues:
  """Returns the state after more activations, of which `num_nan` per unit are NaN."""
  units = activations.shape[3]
  needed = _num_needed(state)
  if (state.bound == bins.NO_BIN).any():
    floor = first_floor(activations.reshape(-1, units), needed)
    bound = np.where(np.isneginf(floor), bins.NO_BIN, bins.bins_of(floor))
    state = dataclasses.replace(state, bound=np.maximum(state.bound, bound))
  step = images_per_block(activations)
  for first in range(0, len(activations), step):
    block = activations[first : first + step]
    crowded = _crowded(state, needed)
    floor = _floor(state.bound)
    floor[crowded] = bins.edge(state.bound[crowded] + 1, below=1)
    values, of_units = values_above(block, floor)
    counted = bins.add(state.counted, values, of_units)
    if crowded.size:
      columns = block.reshape(-1, units)[:, crowded]
      bins.add_to_bins(counted, columns, crowded, state.bound[crowded])
    num_fresh = state.num_fresh + values.size
    state = dataclasses.replace(state, counted=counted, num_fresh=num_fresh)
    # Raising the bound pays only after a good part of the needed values was counted.
    if num_fresh * 4 >= needed * units:
      state = _raise_bound(state, needed)
  num_values = activations[..., 0].size
  return dataclasses.replace(state, num_seen=state.num_seen + num_values - num_nan)


def merge(a: BinnedValues, b: BinnedValues) -> BinnedValues:
  """Merges the states of two disjoint sets of images; both are donated."""
  return dataclasses.replace(
    a,
    num_seen=a.num_seen + b.num_seen,
    bound=np.maximum(a.bound, b.bound),
    counted=bins.merge(a.counted, b.counted),
    num_fresh=a.num_fresh + b.num_fresh,
  )


def quantiles(
  state: BinnedValues,
) -> tuple[
  Float[np.ndarray, "units"], Float[np.ndarray, "units"], Float[np.ndarray, "units"]
]:
  """Returns Hazen's quantile of each unit.

  An order statistic is off by less than the width of its bin, 2 ** -MANTISSA_BITS of
  its value, and exact where it is zero, or alone in its bin.

  Returns:
    The quantiles, infinity for a unit without values. Then a lower and an upper bound:
    where both order statistics lie in one bin, its least and its greatest value, else
    the quantile itself.
  """
  lower, upper, weight = hazen_ranks(state.num_seen, state.quantile)
  (low_bin, low, least, greatest), (high_bin, high, _, _) = (
    _locate(state, ranks) for ranks in (lower, upper)
  )
  threshold = np.where(state.num_seen > 0, low + weight * (high - low), np.inf)
  together = (low_bin == high_bin) & (state.num_seen > 0)
  return (
    threshold,
    np.where(together, least, threshold),
    np.where(together, greatest, threshold),
  )


def _locate(state: BinnedValues, ranks: Int[np.ndarray, "units"]) -> list[np.ndarray]:
  """Returns bin and value of each rank, and the bin's least and greatest value."""
  found = bins.locate(state.counted, ranks)
  # At or above a bound only zeros are not counted, and only if the bound is zero's bin.
  zero = (state.bound == 0) & (found[0] <= 0)
  return [np.where(zero, 0, each) for each in found]


def _num_needed(state: BinnedValues) -> int:
  return int(hazen_ranks(np.array([state.num_total]), state.quantile)[0][0])


def _floor(bound: Int[np.ndarray, "units"]) -> Float[np.ndarray, "units"]:
  """Returns what a value must exceed to be counted."""
  # Zeros, most of the values behind a ReLU, are not worth counting.
  floor = np.where(bound == 0, np.float32(0), bins.edge(bound, below=1))
  return np.where(bound == bins.NO_BIN, np.float32(-np.inf), floor)


def _crowded(state: BinnedValues, needed: int) -> Int[np.ndarray, "some"]:
  """Returns the units with far more values in their bound's bin than are needed.

  They rest at one value, which is not zero: nearly all their values stay in the bound's
  bin, and are counted faster together than one by one.
  """
  in_bound = bins.counts_in(state.counted, state.bound)
  return np.flatnonzero((in_bound > 2 * needed) & (state.bound != 0))


def _raise_bound(state: BinnedValues, needed: int) -> BinnedValues:
  """Raises each bound to the bin of the `needed`-th largest value; donates `state`."""
  found, *_ = bins.locate(state.counted, np.full(len(state.bound), needed))
  bound = np.maximum(state.bound, found)
  counted = bins.drop_below(state.counted, bound)
  return dataclasses.replace(state, bound=bound, counted=counted, num_fresh=0)
