"""The largest values of each unit, and from them an exact quantile.

A quantile near 1 needs the top of the data alone. Once as many values as it needs have
been seen, none that does not exceed the least of them matters: it is the unit's
`floor`, which only rises. Where too few values exceed the floor, the one sought is the
floor itself.

That is exact, also where a unit rests at one value nearly everywhere, as units behind
dead or clipped inputs do, and any interpolation would put all those positions on the
wrong side of its threshold. Memory is a hundredth of the data, so it is used up to a
capacity: see `thresholds`.

A state is donated to the function that takes it: use only the state that comes back.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.exemplars.quantiles import (
  first_floor,
  hazen_ranks,
  images_together,
  values_above,
)

_PIECE = 1 << 16  # values looked at together: they stay in the processor's cache
_SAMPLE = 256  # values of a unit that suggest its floor
_PRIME = 2654435761
_MARGIN = 1.15  # how many more values than needed the suggestion aims at


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
  """The state before any value; a unit will have at most `num_total`."""
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
  """The state after some more activations; `num_nan` of each unit are NaN."""
  if np.isneginf(state.floor).any():
    values = activations.reshape(-1, activations.shape[3])
    floor = np.maximum(state.floor, first_floor(values, state.needed))
    state = dataclasses.replace(state, floor=floor)
  step = images_together(activations)
  for first in range(0, len(activations), step):
    block = activations[first : first + step]
    state = _keep(state, *values_above(block, state.floor))
  num_values = activations[..., 0].size
  return dataclasses.replace(state, num_seen=state.num_seen + num_values - num_nan)


def merge(a: TopValues, b: TopValues) -> TopValues:
  """The state of two disjoint sets of values together; both are donated."""
  merged = dataclasses.replace(
    a, num_seen=a.num_seen + b.num_seen, floor=np.maximum(a.floor, b.floor)
  )
  return _keep(merged, b.values[: b.num_kept], b.units[: b.num_kept])


def quantiles(state: TopValues, quantile: float) -> Float[np.ndarray, "units"]:
  """The quantile of each unit, by Hazen's definition; infinity if it has no value."""
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
    # Infinite ones may have no difference.
    alike = low == high or weight[unit] == 0
    found[unit] = low if alike else low + weight[unit] * (high - low)
  return found


def _keep(
  state: TopValues, values: Float[np.ndarray, "n"], units: Int[np.ndarray, "n"]
) -> TopValues:
  """Keeps some more values, and sifts them when they are twice as many as needed."""
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
  return _sift(state) if stop > 2 * state.needed * len(state.floor) else state


def _sift(state: TopValues) -> TopValues:
  """Raises the floors and drops what is below, often by much and always by enough."""
  suggested = np.maximum(_suggest_floor(state), state.floor)
  reached = np.zeros(len(suggested), np.int64)
  for _, units in _reaching(state, suggested):
    reached += np.bincount(units, minlength=len(suggested))
  # Counting proves what a sample suggests, or not.
  proved = reached >= state.needed
  num_kept = 0
  for values, units in _reaching(
    state, np.where(proved, suggested, np.float32(-np.inf))
  ):
    stop = num_kept + len(values)
    state.values[num_kept:stop], state.units[num_kept:stop] = values, units
    num_kept = stop
  floor = np.where(proved, suggested, state.floor)
  state = dataclasses.replace(state, floor=floor, num_kept=num_kept)
  enough = 1.5 * state.needed * len(state.floor)
  return state if num_kept <= enough else _sift_exactly(state)


def _reaching(
  state: TopValues, floor: Float[np.ndarray, "units"]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Those kept values that reach a floor, and their units, piece by piece."""
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


def _suggest_floor(state: TopValues) -> Float[np.ndarray, "units"]:
  """A floor for each unit that a little more than enough values probably reach."""
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


def _sift_exactly(state: TopValues) -> TopValues:
  """Keeps no more than is needed, also where many values are equal to the floor."""
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
  """The values, unit after unit, and how many each has."""
  # Numbers of 16 bits sort many times as fast.
  dtype = np.uint16 if num_units <= 1 << 16 else np.uint32
  order = np.argsort(units.astype(dtype), kind="stable")
  return values.take(order), np.bincount(units, minlength=num_units)
