"""How a unit's activations are distributed, with samples of images, for its page."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from milan_jax._src.catalog.pictures import Regions
from milan_jax._src.records import (
  DistributedExemplars,
  ExemplarSet,
  LayerDistribution,
)

# Significant digits of the samples' activations on a page.
DIGITS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Bins:
  """A histogram.

  Attributes:
    start: lower edge of its first bin.
    width: of its bins.
    counts: number of values in each bin.
  """

  start: float
  width: float
  counts: Sequence[int]

  def trimmed(self) -> "Bins":
    """Returns the histogram without empty bins at its ends."""
    used = np.flatnonzero(self.counts)
    if not used.size:
      return Bins(self.start, self.width, [])
    first, last = int(used[0]), int(used[-1])
    start = self.start + first * self.width
    return Bins(start, self.width, list(self.counts[first : last + 1]))


@dataclasses.dataclass(frozen=True, slots=True)
class UnitDistribution:
  """How a unit's activations are distributed, with samples from over their range.

  Attributes:
    values: the activations at positions of the images.
    maxima: the maximum on each image.
    regions: returns the images of the samples, highest first, and their masks; a mask
      is full where no activation exceeds the threshold.
    activations: maximum on each sample.
    shares: number of images in the interval that each sample is from.
    below: whether no activation on a sample exceeds the threshold.
    names: the name of each sample's image; empty if unknown.
  """

  values: Bins
  maxima: Bins
  regions: Callable[[], Regions]
  activations: Sequence[float]
  shares: Sequence[int]
  below: Sequence[bool]
  names: Sequence[str] = ()

  def details(self) -> dict[str, Any]:
    """Returns what the unit's page shows, as JSON."""
    samples: dict[str, Any] = {
      "activations": [_rounded(value) for value in self.activations],
      "shares": list(self.shares),
      "below": list(self.below),
    }
    if self.names:
      samples["names"] = list(self.names)
    return {
      "values": _numbers(self.values),
      "maxima": _numbers(self.maxima),
      "samples": samples,
    }


def unit_distribution(
  found: ExemplarSet,
  known: LayerDistribution | None,
  row: int,
  names: Callable[[np.ndarray], Sequence[str]],
) -> UnitDistribution | None:
  """Returns the distribution of a unit; None if it is not known.

  Args:
    found: the exemplars.
    known: the distribution of the unit's layer; None if it is not known.
    row: the unit's row.
    names: returns the names of the images at some rows.
  """
  if known is None or not isinstance(found, DistributedExemplars):
    return None
  slots = np.flatnonzero(known.sample_rows[row] >= 0)
  images = known.sample_rows[row, slots]
  return UnitDistribution(
    values=_bins(known.value_bins[row], known.value_counts[row]),
    maxima=_bins(known.maximum_bins[row], known.maximum_counts[row]),
    regions=functools.partial(_regions, found, known.layer, row, slots, images),
    activations=known.sample_activations[row, slots].tolist(),
    shares=known.sample_shares[row, slots].tolist(),
    below=(~known.sample_above[row, slots]).tolist(),
    names=names(images),
  )


def _regions(
  found: DistributedExemplars,
  layer: str,
  row: int,
  slots: np.ndarray,
  images: np.ndarray,
) -> Regions:
  masks = found.sample_masks(layer, np.full_like(slots, row), slots)
  masks |= ~masks.any(axis=(1, 2), keepdims=True)
  assert isinstance(found, ExemplarSet)
  return found.images(images), masks


def _bins(start_and_width: np.ndarray, counts: np.ndarray) -> Bins:
  start, width = start_and_width.tolist()
  return Bins(start, width, counts.tolist())


def _numbers(bins: Bins) -> list[Any]:
  # Exact: rounding would move bins that are narrow for their distance from zero.
  bins = bins.trimmed()
  return [bins.start, bins.width, bins.counts]


def _rounded(value: float) -> float | None:
  return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
