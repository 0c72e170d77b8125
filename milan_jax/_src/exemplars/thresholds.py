"""The threshold that a unit exceeds at 1 % of all positions: streaming and mergeable.

Two methods are combined. While the quantile needs up to `CAPACITY` values of a layer,
all of them are kept, and it is exact: for some two hundred images at 112 x 112
positions and 32 units, for a thousand at 7 x 7 and 2,048. Beyond that, the values of
all images are counted in bins of at most 2 ** -7 of their size, and the values of every
n-th image, as many as the capacity allows, are kept as before. The bins of all images
bound the threshold from both sides; where the quantile of the kept images lies within
these bounds, it is taken. The threshold is then off by less than a bin, and memory
depends on the units and no longer on the images.

The result depends neither on the order of the images nor on how they are spread over
batches, devices or processes. A state is donated to the function that takes
it: use only the state that it returns.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.exemplars import binned_thresholds, top_values
from milan_jax._src.exemplars.binned_thresholds import BinnedValues
from milan_jax._src.exemplars.top_values import TopValues
from milan_jax._src.records import LayerShape

CAPACITY = 1 << 20  # values kept of a layer; twice as many in between


@dataclasses.dataclass(frozen=True, slots=True)
class ThresholdState:
  """The state of a layer's thresholds.

  Attributes:
    quantile: the quantile sought, as a fraction.
    stride: values are kept exactly of images whose id is a multiple of the stride.
    top: the largest values of those images.
    binned: the values of all images; empty if the stride is 1.
  """

  quantile: float
  stride: int
  top: TopValues
  binned: BinnedValues


def start(
  shape: LayerShape,
  *,
  num_images: int,
  quantile: float,
  units: int | None = None,
  capacity: int | None = None,
) -> ThresholdState:
  """Returns the state before any image.

  Args:
    shape: the layer's shape.
    num_images: size of the data set, images that cannot be read included.
    quantile: between 0 and 1.
    units: number of the layer's units that are kept; None for all.
    capacity: values to keep of all units; None for `CAPACITY`.
  """
  if not 0 < quantile < 1:
    raise ValueError(f"a quantile lies between 0 and 1, not at {quantile}")
  capacity = CAPACITY if capacity is None else capacity
  units = shape.units if units is None else units
  num_positions = shape.height * shape.width
  wanted = (1 - quantile) * num_images * num_positions * shape.units
  # Where bins take memory too, they get half of it: the total does not jump.
  stride = 1 if wanted <= capacity else int(np.ceil(wanted / (capacity / 2)))
  kept = -(-num_images // stride) * num_positions
  return ThresholdState(
    quantile=quantile,
    stride=stride,
    top=top_values.start(units, kept, quantile),
    binned=binned_thresholds.start(units, num_images * num_positions, quantile),
  )


def update(
  state: ThresholdState,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
  num_nan: Int[np.ndarray, "batch units"],
) -> ThresholdState:
  """Returns the state after more images, of whose values `num_nan` are NaN."""
  values = np.ascontiguousarray(activations, np.float32)
  if state.stride == 1:
    top = top_values.update(state.top, values, num_nan.sum(axis=0))
    return dataclasses.replace(state, top=top)
  binned = binned_thresholds.update(state.binned, values, num_nan.sum(axis=0))
  kept = np.flatnonzero(image_ids % state.stride == 0)
  top = state.top
  if kept.size:
    top = top_values.update(top, values[kept], num_nan[kept].sum(axis=0))
  return dataclasses.replace(state, top=top, binned=binned)


def merge(a: ThresholdState, b: ThresholdState) -> ThresholdState:
  """Merges the states of two disjoint sets of images; both are donated."""
  if (a.quantile, a.stride, a.top.needed) != (b.quantile, b.stride, b.top.needed):
    raise ValueError("these states belong to different data sets or quantiles")
  return dataclasses.replace(
    a,
    top=top_values.merge(a.top, b.top),
    binned=binned_thresholds.merge(a.binned, b.binned),
  )


def unit_thresholds(state: ThresholdState) -> Float[np.ndarray, "units"]:
  """Returns the quantile of each unit over all values seen, in the model's units.

  Hazen's definition, numpy's `method="hazen"`. Exact up to the capacity; beyond,
  off by less than the width of its order statistics' bins. A unit without any value
  gets infinity, which no value exceeds.
  """
  threshold = top_values.quantiles(state.top, state.quantile)
  if state.stride > 1:
    binned, least, greatest = binned_thresholds.quantiles(state.binned)
    threshold = np.where(
      (least <= threshold) & (threshold <= greatest), threshold, binned
    )
  return threshold.astype(np.float32) + np.float32(0)  # -0 becomes 0
