"""Histograms of streams of values of unknown range: exact and mergeable.

The bins of a unit are [i w, (i + 1) w) for integers i. The width w is the least power
of two for which at most `BINS` bins cover all values so far. If a value outside of them
comes, w doubles as often as necessary, and pairs of bins become one. Nothing is lost by
that, since the bins of 2 w are pairs of those of w. So a finished histogram is that of
numpy over all values, for any order, batches and shards. Beyond half of the bins are in
use, unless the values hardly differ in float32.

Bin i is at position i modulo `BINS`, so that a range grows without moving counts:

  >>> state = update(start(1), np.array([[0.5], [3.0], [3.25]], np.float32))
  >>> bins, counts = finish(state)
  >>> bins.tolist()  # start of the first bin, and the width of all
  [[0.5, 0.0625]]
  >>> np.flatnonzero(counts[0]).tolist()
  [0, 40, 44]

A state is donated to the function that takes it: use only the state that it returns.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

BINS = 64
_LOWEST = -172  # exponent of the width of bins that hold only zeros
_DIGITS = 24  # of a float32: narrower bins would stay empty


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
  """The histograms of some units.

  Attributes:
    exponents: of the bins' width, a power of two.
    least: least value of each unit so far; infinity if there was none.
    greatest: greatest value; minus infinity if there was none.
    counts: number of values in each bin; bin i is at i modulo `BINS`.
  """

  exponents: Int[np.ndarray, "units"]
  least: Float[np.ndarray, "units"]
  greatest: Float[np.ndarray, "units"]
  counts: Int[np.ndarray, "units bins"]


def start(units: int) -> Histogram:
  """Returns the state before any value."""
  return Histogram(
    exponents=np.full(units, _LOWEST, np.int64),
    least=np.full(units, np.inf, np.float32),
    greatest=np.full(units, -np.inf, np.float32),
    counts=np.zeros((units, BINS), np.int64),
  )


def update(state: Histogram, values: Float[np.ndarray, "n units"]) -> Histogram:
  """Returns the state after more values; NaN and infinity are not counted."""
  units = values.shape[1]
  least, greatest = values.min(axis=0), values.max(axis=0)
  finite = None
  if not (np.isfinite(least) & np.isfinite(greatest)).all():
    finite = np.isfinite(values)
    least = values.min(axis=0, where=finite, initial=np.inf)
    greatest = values.max(axis=0, where=finite, initial=-np.inf)
    values = np.where(finite, values, np.float32(0))
  state = _widened(state, least, greatest)
  places = bins_of(values, state.exponents) & (BINS - 1)
  places += np.arange(units) * BINS
  found = np.bincount(
    places.ravel() if finite is None else places[finite], minlength=units * BINS
  )
  state.counts[:] += found.reshape(units, BINS)
  return state


def merge(a: Histogram, b: Histogram) -> Histogram:
  """Merges the histograms of two disjoint sets of values; both are donated."""
  a, b = _widened(a, b.least, b.greatest), _widened(b, a.least, a.greatest)
  a.counts[:] += b.counts
  return a


def finish(
  state: Histogram,
) -> tuple[Float[np.ndarray, "units 2"], Int[np.ndarray, "units bins"]]:
  """Returns the start of each unit's first bin and the bins' width, and the counts.

  The first bin has the unit's least value. A unit without values has bins from 0, of
  width 1.
  """
  known = state.least <= state.greatest
  width = np.where(known, np.exp2(state.exponents), 1)
  first = np.where(known, bins_of(_finite(state.least), state.exponents), 0)
  order = (first[:, None] + np.arange(BINS)) & (BINS - 1)
  counts = np.take_along_axis(state.counts, order, axis=1)
  return np.stack([first * width, width], axis=1), counts


def bins_of(
  values: Float[np.ndarray, "*n units"], exponents: Int[np.ndarray, "units"]
) -> Int[np.ndarray, "*n units"]:
  """Returns each value's bin, of bins as wide as 2 to the power of `exponents`."""
  # Exact: the product changes a float64's exponent only.
  found: np.ndarray = np.floor(values * np.exp2(-exponents)).astype(np.int64)
  return found


def _widened(
  state: Histogram,
  least: Float[np.ndarray, "units"],
  greatest: Float[np.ndarray, "units"],
) -> Histogram:
  """Returns the state with bins that also cover another range; `state` is donated."""
  least = np.minimum(state.least, least)
  greatest = np.maximum(state.greatest, greatest)
  exponents = np.where(
    least <= greatest, _exponents(_finite(least), _finite(greatest)), _LOWEST
  )
  shifts = exponents - state.exponents
  units = np.flatnonzero((shifts > 0) & (state.least <= state.greatest))
  if units.size:
    first = bins_of(state.least[units], state.exponents[units])
    before = first[:, None] + np.arange(BINS)
    counts = np.take_along_axis(state.counts[units], before & (BINS - 1), axis=1)
    after = coarser(before, shifts[units, None]) & (BINS - 1)
    moved = np.zeros_like(counts)
    np.add.at(moved, (np.arange(len(units))[:, None], after), counts)
    state.counts[units] = moved
  return dataclasses.replace(state, exponents=exponents, least=least, greatest=greatest)


def coarser(
  bins: Int[np.ndarray, "units n"], shifts: Int[np.ndarray, "units 1"]
) -> Int[np.ndarray, "units n"]:
  """Returns the bin that a bin is in after its width doubled `shifts` times."""
  found: np.ndarray = bins >> np.minimum(shifts, 62)  # further, all are -1 and 0
  return found


def _exponents(
  least: Float[np.ndarray, "units"], greatest: Float[np.ndarray, "units"]
) -> Int[np.ndarray, "units"]:
  """Returns the least exponent of a width for which `BINS` bins cover a range."""
  largest = np.maximum(np.abs(least), np.abs(greatest)).astype(np.float64)
  narrowest = np.where(largest > 0, np.frexp(largest)[1] - _DIGITS, _LOWEST)
  span = greatest.astype(np.float64) - least
  found = np.where(span > 0, np.frexp(span / BINS)[1], narrowest).astype(np.int64) - 1
  # The least one is this, or one or two more, depending on where the range begins.
  for _ in range(2):
    needed = bins_of(greatest, found) - bins_of(least, found)
    found = found + (needed >= BINS)
  result: np.ndarray = np.maximum(found, narrowest)
  return result


def _finite(values: Float[np.ndarray, "units"]) -> Float[np.ndarray, "units"]:
  return np.where(np.isfinite(values), values, np.float32(0))
