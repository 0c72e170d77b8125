"""The largest values of each unit, and from them an exact quantile.

A quantile near 1 needs only the top of the data. Once as many values as it needs have
been seen, only values above the least of them matter: that is the unit's `floor`, which
only rises. Where too few values exceed the floor, the order statistic is the floor
itself.

This is exact, also where a unit rests at one value nearly everywhere, as units behind
dead or clipped inputs do: any interpolation would put all those positions on the wrong
side of the threshold. Memory is a hundredth of the data, so it is used up to a
capacity: see `thresholds`.

A state is donated to the function that takes it: use only the state that it returns.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.exemplars.quantiles import (
  first_floor,
  hazen_ranks,
  images_per_block,
  values_above,
)

_PIECE = 1 << 16  # values processed together: they stay in the processor's cache
_SAMPLE = 256  # values of a unit from which its floor is estimated
_PRIME = 2654435761
_MARGIN = 1.15  # factor by which the estimate aims above the values needed


@dataclasses.dataclass(frozen=True, slots=True)
class TopValues:
  """The largest values so far.

  Attributes:
    needed: how many values of each unit matter.
    num_seen: values of each unit so far, NaN left out.
    floor: what a value must exceed to matter.
    values: the values that were kept, in no order, then unused capacity.
    units: the unit of each.
    num_kept: number of values kept.
  """

  needed: int
  num_seen: Int[np.ndarray, "units"]
  floor: Float[np.ndarray, "units"]
  values: Float[np.ndarray, "capacity"]
  units: Int[np.ndarray, "capacity"]
  num_kept: int


def start(units: int, num_total: int, quantile: float) -> TopValues:
  """Returns the state before any value; a unit will have at most `num_total`."""
  needed, _, _ = hazen_ranks(np.array([num_total]), quantile)
  return TopValues(
    needed=int(needed[0]),
    num_seen=np.zeros(units, np.int64),
    floor=np.full(units, -np.inf, np.float32),
    values=np.zeros(0, np.float32),
    units=np.zeros(0, np.int64),
    num_kept=0,
  )


def update(
  state: TopValues,
  activations: Float[np.ndarray, "batch height width units"],
  num_nan: Int[np.ndarray, "units"],
) -> TopValues:
  """Returns the state after more activations, of which `num_nan` per unit are NaN."""
  if np.isneginf(state.floor).any():
    values = activations.reshape(-1, activations.shape[3])
    floor = np.maximum(state.floor, first_floor(values, state.needed))
    state = dataclasses.replace(state, floor=floor)
  step = images_per_block(activations)
  for first in range(0, len(activations), step):
    block = activations[first : first + step]
    state = _keep(state, *values_above(block, state.floor))
  num_values = activations[..., 0].size
  return dataclasses.replace(state, num_seen=state.num_seen + num_values - num_nan)


def merge(a: TopValues, b: TopValues) -> TopValues:
  """Merges the states of two disjoint sets of values; both are donated."""
  merged = dataclasses.replace(
    a, num_seen=a.num_seen + b.num_seen, floor=np.maximum(a.floor, b.floor)
  )
  return _keep(merged, b.values[: b.num_kept], b.units[: b.num_kept])


def quantiles(state: TopValues, quantile: float) -> Float[np.ndarray, "units"]:
  """Returns Hazen's quantile of each unit; infinity for a unit without values."""
  lower, upper, weight = hazen_ranks(state.num_seen, quantile)
  kept = slice(state.num_kept)
  values, counts = _by_unit(state.values[kept], state.units[kept], len(state.floor))
  ends = np.cumsum(counts)
  found = np.full(len(counts), np.inf)
  for unit in np.flatnonzero(state.num_seen):
    mine = np.sort(values[ends[unit] - counts[unit] : ends[unit]])
    floor = state.floor[unit]
    low, high = (
      np.float64(max(mine[-rank], floor) if rank <= len(mine) else floor)
      for rank in (lower[unit], upper[unit])
    )
    # The difference of infinite values may be NaN.
    is_equal = low == high or weight[unit] == 0
    found[unit] = low if is_equal else low + weight[unit] * (high - low)
  return found


def _keep(
  state: TopValues, values: Float[np.ndarray, "n"], units: Int[np.ndarray, "n"]
) -> TopValues:
  """Keeps some more values, and prunes them when they are twice as many as needed."""
  stop = state.num_kept + len(values)
  if stop > len(state.values):
    state = dataclasses.replace(
      state,
      values=_enlarged(state.values, 2 * stop),
      units=_enlarged(state.units, 2 * stop),
    )
  state.values[state.num_kept : stop] = values
  state.units[state.num_kept : stop] = units
  state = dataclasses.replace(state, num_kept=stop)
  return _prune(state) if stop > 2 * state.needed * len(state.floor) else state


def _prune(state: TopValues) -> TopValues:
  """Raises the floors and drops the values below them: always enough of them."""
  estimate = np.maximum(_estimate_floor(state), state.floor)
  reached = np.zeros(len(estimate), np.int64)
  for _, units in _reaching(state, estimate):
    reached += np.bincount(units, minlength=len(estimate))
  # An estimate from a sample counts only where counting verifies it.
  verified = reached >= state.needed
  num_kept = 0
  for values, units in _reaching(
    state, np.where(verified, estimate, np.float32(-np.inf))
  ):
    stop = num_kept + len(values)
    state.values[num_kept:stop], state.units[num_kept:stop] = values, units
    num_kept = stop
  floor = np.where(verified, estimate, state.floor)
  state = dataclasses.replace(state, floor=floor, num_kept=num_kept)
  enough = 1.5 * state.needed * len(state.floor)
  return state if num_kept <= enough else _prune_exactly(state)


def _reaching(
  state: TopValues, floor: Float[np.ndarray, "units"]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields the kept values that reach a floor, and their units, piece by piece."""
  for first in range(0, state.num_kept, _PIECE):
    piece = slice(first, min(first + _PIECE, state.num_kept))
    values, units = state.values[piece], state.units[piece]
    # Ten times as fast as a boolean index.
    keep = np.flatnonzero(values >= floor.take(units))
    yield values.take(keep), units.take(keep)


def _enlarged(array: np.ndarray, capacity: int) -> np.ndarray:
  larger = np.empty(capacity, array.dtype)
  larger[: len(array)] = array
  return larger


def _estimate_floor(state: TopValues) -> Float[np.ndarray, "units"]:
  """Estimates a floor for each unit that slightly more values reach than needed."""
  num_units = len(state.floor)
  # A stride of a prime number: units, which alternate, get equal shares.
  sample = np.arange(_SAMPLE * num_units) * _PRIME % state.num_kept
  values, sizes = _by_unit(state.values[sample], state.units[sample], num_units)
  rank = int(_MARGIN * state.needed * len(sample) / state.num_kept) + 2
  floor = np.full(num_units, -np.inf, np.float32)
  for unit, mine in enumerate(np.split(values, np.cumsum(sizes)[:-1])):
    if rank <= len(mine):
      floor[unit] = np.partition(mine, -rank)[-rank]
  return floor


def _prune_exactly(state: TopValues) -> TopValues:
  """Keeps no more than is needed, even where many values equal the floor."""
  num_units = len(state.floor)
  kept = slice(state.num_kept)
  values, counts = _by_unit(state.values[kept], state.units[kept], num_units)
  floor, stop = state.floor.copy(), 0
  for unit, mine in enumerate(np.split(values, np.cumsum(counts)[:-1])):
    if len(mine) >= state.needed:
      mine = np.partition(mine, -state.needed)[-state.needed :]
      floor[unit] = max(floor[unit], mine[0])
    state.values[stop : stop + len(mine)] = mine
    state.units[stop : stop + len(mine)] = unit
    stop += len(mine)
  return dataclasses.replace(state, floor=floor, num_kept=stop)


def _by_unit(
  values: Float[np.ndarray, "n"], units: Int[np.ndarray, "n"], num_units: int
) -> tuple[Float[np.ndarray, "n"], Int[np.ndarray, "units"]]:
  """Sorts the values by unit; also returns their number per unit."""
  # 16-bit integers sort many times as fast.
  dtype = np.uint16 if num_units <= 1 << 16 else np.uint32
  order = np.argsort(units.astype(dtype), kind="stable")
  return values.take(order), np.bincount(units, minlength=num_units)
