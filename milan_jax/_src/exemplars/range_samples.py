"""Images from over the whole range of each unit's spatial maximum: exact, mergeable.

The histogram of the maxima counts all images. `TOGETHER` of its bins are one interval
of the range, and each interval with an image has one sample: of its images the one that
comes first in a fixed permutation of the data set. The permutation is the same for all
units, so that they share most of their samples. A sample of a larger interval is one of
the samples of its parts, so that samples stay exact while the bins widen, and do not
depend on the order of the images, on batches or on shards.

Interval i is at position i modulo `SAMPLES`. A state is donated to the function that
takes it: use only the state that it returns.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt64

from milan_jax._src.exemplars import histograms
from milan_jax._src.exemplars.histograms import BINS, Histogram
from milan_jax._src.exemplars.top_images import NO_IMAGE

_LOG_TOGETHER = 3
TOGETHER = 1 << _LOG_TOGETHER  # bins of an interval
SAMPLES = BINS // TOGETHER + 1  # intervals that `BINS` bins may be in
_NO_RANK = np.uint64(np.iinfo(np.uint64).max)
# An odd number, so that the product modulo 2 ** 64 permutes; near 2 ** 64 divided by
# the golden ratio, so that any first few images are spread evenly.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, slots=True)
class RangeSamples:
  """The samples of a layer's units so far.

  Attributes:
    maxima: the spatial maxima on all images.
    image_ids: position in the data set of each sample; `NO_IMAGE` for none.
    activations: spatial maximum on each sample.
    maps: the unit's activations on each sample, in float32.
  """

  maxima: Histogram
  image_ids: Int[np.ndarray, "units samples"]
  activations: Float[np.ndarray, "units samples"]
  maps: Float[np.ndarray, "units samples height width"]


@dataclasses.dataclass(frozen=True, slots=True)
class FinishedSamples:
  """The samples of a layer's units after a pass, by descending activation.

  Attributes:
    bins: start of the first bin of the maxima, and the width of all.
    counts: number of images whose maximum is in each bin.
    image_ids: position in the data set of each sample; -1 for none, which come last.
    activations: spatial maximum on each sample; NaN for none.
    maps: the unit's activations on each sample.
    shares: number of images in the interval that each sample is from.
  """

  bins: Float[np.ndarray, "units 2"]
  counts: Int[np.ndarray, "units bins"]
  image_ids: Int[np.ndarray, "units samples"]
  activations: Float[np.ndarray, "units samples"]
  maps: Float[np.ndarray, "units samples height width"]
  shares: Int[np.ndarray, "units samples"]


def start(units: int, height: int, width: int) -> RangeSamples:
  """Returns the state before any image."""
  return RangeSamples(
    maxima=histograms.start(units),
    image_ids=np.full((units, SAMPLES), NO_IMAGE, np.int64),
    activations=np.full((units, SAMPLES), np.nan, np.float32),
    maps=np.zeros((units, SAMPLES, height, width), np.float32),
  )


def update(
  state: RangeSamples,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
  maxima: Float[np.ndarray, "batch units"],
) -> RangeSamples:
  """Returns the state after a batch of images; batches may come in any order.

  Args:
    state: the state before the batch; donated.
    image_ids: position of each image in the data set; each image occurs once in a pass.
    activations: the layer's activations.
    maxima: their spatial maxima. Images where they are not finite are left out.
  """
  before = _ranges(state.maxima)
  state = dataclasses.replace(state, maxima=histograms.update(state.maxima, maxima))
  _widen(state, before)
  ranks = ranks_of(image_ids)
  order = np.argsort(ranks)
  finite = np.isfinite(maxima)
  places = _places(np.where(finite, maxima, np.float32(0)), state.maxima.exponents)
  units = np.arange(maxima.shape[1])
  earlier = (ranks[:, None] < ranks_of(state.image_ids)[units, places]) & finite
  found, units = np.nonzero(earlier[order])
  images = order[found]
  # Of several images of one interval, the first in the order of ranks.
  places = places[images, units]
  _, first = np.unique(units * SAMPLES + places, return_index=True)
  images, units, places = images[first], units[first], places[first]
  state.image_ids[units, places] = image_ids[images]
  state.activations[units, places] = maxima[images, units]
  state.maps[units, places] = activations.transpose(0, 3, 1, 2)[images, units]
  return state


def merge(a: RangeSamples, b: RangeSamples) -> RangeSamples:
  """Merges the states of two disjoint sets of images; both are donated."""
  befores = _ranges(a.maxima), _ranges(b.maxima)
  a = dataclasses.replace(a, maxima=histograms.merge(a.maxima, b.maxima))
  b = dataclasses.replace(b, maxima=a.maxima)
  for state, before in zip((a, b), befores, strict=True):
    _widen(state, before)
  better = ranks_of(b.image_ids) < ranks_of(a.image_ids)
  for mine, other in (
    (a.image_ids, b.image_ids),
    (a.activations, b.activations),
    (a.maps, b.maps),
  ):
    mine[better] = other[better]
  return a


def finish(state: RangeSamples) -> FinishedSamples:
  """Returns the samples of all images seen."""
  bins, counts = histograms.finish(state.maxima)
  none = state.image_ids == NO_IMAGE
  order = np.argsort(-np.where(none, -np.inf, state.activations), axis=1, kind="stable")
  shares = np.zeros(none.shape, np.int64)
  first = np.rint(bins[:, :1] / bins[:, 1:]).astype(np.int64)
  places = ((first + np.arange(BINS)) >> _LOG_TOGETHER) % SAMPLES
  np.add.at(shares, (np.arange(len(none))[:, None], places), counts)
  maps = state.maps[np.arange(len(order))[:, None], order]
  maps[np.take_along_axis(none, order, axis=1)] = 0  # left of samples that moved
  return FinishedSamples(
    bins=bins,
    counts=counts,
    image_ids=np.take_along_axis(np.where(none, -1, state.image_ids), order, axis=1),
    activations=np.take_along_axis(state.activations, order, axis=1),
    maps=maps,
    shares=np.take_along_axis(shares, order, axis=1),
  )


def ranks_of(image_ids: Int[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
  """Returns the place of each image in the permutation of the data set."""
  ranks: np.ndarray = image_ids.astype(np.uint64) * _MULTIPLIER
  return np.where(image_ids == NO_IMAGE, _NO_RANK, ranks)


def _places(
  values: Float[np.ndarray, "*n units"], exponents: Int[np.ndarray, "units"]
) -> Int[np.ndarray, "*n units"]:
  bins = histograms.bins_of(values, exponents)
  found: np.ndarray = (bins >> _LOG_TOGETHER) % SAMPLES
  return found


def _ranges(
  maxima: Histogram,
) -> tuple[Int[np.ndarray, "units"], Float[np.ndarray, "units"]]:
  """Returns what the intervals depend on: the exponents, and the least values."""
  return maxima.exponents, maxima.least


def _widen(
  state: RangeSamples,
  before: tuple[Int[np.ndarray, "units"], Float[np.ndarray, "units"]],
) -> None:
  """Moves the samples to the wider intervals of the maxima's bins, in place."""
  exponents, least = before
  shifts = state.maxima.exponents - exponents
  units = np.flatnonzero((shifts > 0) & np.isfinite(least))
  if not units.size:
    return
  first = histograms.bins_of(least[units], exponents[units]) >> _LOG_TOGETHER
  old = first[:, None] + np.arange(SAMPLES)
  new = histograms.coarser(old, shifts[units, None]) % SAMPLES
  old %= SAMPLES
  rows = np.arange(len(units))[:, None]
  ranks = ranks_of(state.image_ids[units])
  best = np.full(ranks.shape, _NO_RANK)
  np.minimum.at(best, (rows, new), ranks[rows, old])
  # The old place of the sample that each new interval takes.
  taken = np.zeros_like(old)
  row, column = np.nonzero(best[rows, new] == ranks[rows, old])
  taken[row, new[row, column]] = old[row, column]
  empty = best == _NO_RANK
  for array in (state.image_ids, state.activations, state.maps):
    array[units] = array[units][rows, taken]
  state.image_ids[units] = np.where(empty, NO_IMAGE, state.image_ids[units])
  state.activations[units] = np.where(
    empty, np.float32(np.nan), state.activations[units]
  )
