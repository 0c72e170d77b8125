"""The level that a unit exceeds in one place of a hundred: streaming and mergeable.

Two ways go together. Of up to `ROOM` values of a layer, all that the quantile needs
are kept, and it is exact: some two hundred images at 112 x 112 places and 32 units, a
thousand at 7 x 7 and 2,048. Beyond that, the values of all images are counted in bins
of at most 2 ** -7 of their size, and those of every n-th image, as many as there is
room for, are kept as before: the bins of all images say between which two values the
level lies, and where the images kept agree, their own quantile says where. The level is
then off by less than a bin; memory depends on the units and no more on the images.

Either way the result depends neither on the order of the images nor on how they are
spread over batches, devices or processes. A state is donated to the function that takes
it: use only the state that comes back.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.exemplars import binned_thresholds as binned_levels
from milan_jax._src.exemplars import top_values
from milan_jax._src.exemplars.binned_thresholds import BinnedLevels
from milan_jax._src.exemplars.top_values import TopValues
from milan_jax._src.records import LayerShape

ROOM = 1 << 20  # values kept of a layer; up to twice as many pass through


@dataclasses.dataclass(frozen=True, slots=True)
class LevelState:
  """What is known of a layer's levels so far.

  Attributes:
    quantile: which one, as a fraction.
    stride: the images kept exactly are those whose id it divides.
    top: the largest values of those images.
    binned: the values of all images; nothing if the stride is 1.
  """

  quantile: float
  stride: int
  top: TopValues
  binned: BinnedLevels


def start(
  shape: LayerShape,
  *,
  num_images: int,
  quantile: float,
  units: int | None = None,
  room: int | None = None,
) -> LevelState:
  """The state before any image.

  Args:
    shape: the layer's shape.
    num_images: size of the data set, images that cannot be read included.
    quantile: between 0 and 1.
    units: how many of the layer's units are looked at; None for all.
    room: values to keep of all units; None for `ROOM`.
  """
  if not 0 < quantile < 1:
    raise ValueError(f"a quantile lies between 0 and 1, not at {quantile}")
  room = ROOM if room is None else room
  units = shape.units if units is None else units
  places = shape.height * shape.width
  wanted = (1 - quantile) * num_images * places * shape.units
  # Where bins take room too, half of it is theirs: memory does not jump.
  stride = 1 if wanted <= room else int(np.ceil(wanted / (room / 2)))
  kept = -(-num_images // stride) * places
  return LevelState(
    quantile=quantile,
    stride=stride,
    top=top_values.start(units, kept, quantile),
    binned=binned_levels.start(units, num_images * places, quantile),
  )


def update(
  state: LevelState,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
  num_nan: Int[np.ndarray, "batch units"],
) -> LevelState:
  """The state after some more images, of whose values `num_nan` are NaN."""
  values = np.ascontiguousarray(activations, np.float32)
  if state.stride == 1:
    top = top_values.update(state.top, values, num_nan.sum(axis=0))
    return dataclasses.replace(state, top=top)
  binned = binned_levels.update(state.binned, values, num_nan.sum(axis=0))
  kept = np.flatnonzero(image_ids % state.stride == 0)
  top = state.top
  if kept.size:
    top = top_values.update(top, values[kept], num_nan[kept].sum(axis=0))
  return dataclasses.replace(state, top=top, binned=binned)


def merge(a: LevelState, b: LevelState) -> LevelState:
  """The state of two disjoint sets of images together; both are donated."""
  if (a.quantile, a.stride, a.top.needed) != (b.quantile, b.stride, b.top.needed):
    raise ValueError("these states belong to different data sets or quantiles")
  return dataclasses.replace(
    a,
    top=top_values.merge(a.top, b.top),
    binned=binned_levels.merge(a.binned, b.binned),
  )


def levels(state: LevelState) -> Float[np.ndarray, "units"]:
  """The quantile of each unit over all values seen, in the model's own units.

  Hazen's definition, numpy's `method="hazen"`. Exact where all values had room; beyond,
  off by less than the width of its order statistics' bins. A unit without any value
  gets infinity, which nothing exceeds.
  """
  level = top_values.quantiles(state.top, state.quantile)
  if state.stride > 1:
    binned, least, most = binned_levels.quantiles(state.binned)
    level = np.where((least <= level) & (level <= most), level, binned)
  return level.astype(np.float32) + np.float32(0)  # of two zeros, the positive
