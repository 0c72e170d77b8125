"""The features of a region: its inside, and where and how large it is.

`inside` is the original's: the average of each level over the mask. `placed` averages
by area, so that a region smaller than a cell of a level, which the original's sampling
loses, counts there too, and adds the region's geometry, since a side, a corner or the
border of the picture shows in nothing else. What surrounds a region was tried and added
nothing (docs/starter.md).
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from milan_jax._src.models.encoder import Pyramid, average, pool

Pooling = Literal["inside", "placed"]
# Part of the picture's side that counts as its border.
BORDER = 0.1
GEOMETRY = (
  *("log_area", "column", "row", "columns_std", "rows_std", "slant", "filled"),
  *("at_left", "at_right", "at_top", "at_bottom"),
)
# Areas below this part of the picture count as this.
_LEAST_AREA = 1e-4


def feature_blocks(channels: Sequence[int], pooling: Pooling) -> tuple[int, ...]:
  """Number of features in each block of a region's, in their order.

  Args:
    channels: those of each level.
    pooling: which blocks there are.
  """
  if pooling == "inside":
    return tuple(channels)
  return (*channels, len(GEOMETRY))


def region_features(
  pyramid: Pyramid,
  masks: Bool[Array, "batch regions height width"],
  pooling: Pooling = "inside",
) -> Float[Array, "batch regions features"]:
  """Returns the features of each region; zeros for an empty mask.

  The products are in full float32 on every device.

  Args:
    pyramid: activations of each image, one NHWC array a level.
    masks: regions of each image, at the image's size.
    pooling: which features.
  """
  if pooling == "inside":
    return pool(pyramid, masks)
  sizes = [(level.shape[1], level.shape[2]) for level in pyramid]
  areas = masks.astype(jnp.float32)
  averages = [
    average(level, _normalized(_by_area(areas, size)))
    for level, size in zip(pyramid, sizes, strict=True)
  ]
  there = masks.any(axis=(2, 3))[..., None]
  features = jnp.concatenate([*averages, _geometry(areas)], axis=-1)
  return jnp.where(there, features, 0.0)


def _normalized(weights: Array) -> Array:
  """Weights of each region that sum to 1, or all zeros."""
  sums = weights.sum(axis=(-2, -1), keepdims=True)
  return jnp.where(sums > 0, weights / jnp.where(sums > 0, sums, 1.0), 0.0)


def _by_area(
  arrays: Float[Array, "batch regions height width"], size: tuple[int, int]
) -> Float[Array, "batch regions rows columns"]:
  """Averages each array over the cells of a grid: all pixels count."""
  batch, regions, height, width = arrays.shape
  if height % size[0] == 0 and width % size[1] == 0:
    cells = (batch, regions, size[0], height // size[0], size[1], width // size[1])
    return arrays.reshape(cells).mean(axis=(3, 5))
  rows, columns = (
    jnp.asarray(_overlaps(length, cells))
    for length, cells in zip(arrays.shape[2:], size, strict=True)
  )
  found: Array = jnp.einsum(
    "rh,bnhw,cw->bnrc", rows, arrays, columns, precision=jax.lax.Precision.HIGHEST
  )
  return found


def _overlaps(length: int, cells: int) -> Float[np.ndarray, "cells length"]:
  """Returns the fraction of each cell that each pixel covers."""
  edges = np.arange(cells + 1) * length / cells
  low = np.maximum(edges[:-1, None], np.arange(length)[None])
  high = np.minimum(edges[1:, None], np.arange(length)[None] + 1)
  shares: np.ndarray = np.maximum(high - low, 0) * cells / length
  return shares.astype(np.float32)


def _geometry(
  areas: Float[Array, "batch regions height width"],
) -> Float[Array, "batch regions geometry"]:
  """Area, place and extent of each region; the sides of the picture are 1 long.

  `log_area` is log2 of the share of the picture; `column` and `row` the mean place,
  from -1 to 1; `slant` the correlation of the two; `filled` the area over that of a
  rectangle of the same deviations; `at_left` and so on the share of the region in the
  outer tenth of the picture on that side.
  """
  height, width = areas.shape[2:]
  across, down = (
    ((np.arange(n) + 0.5) / n * 2 - 1).astype(np.float32) for n in (width, height)
  )
  weights = _normalized(areas)
  columns, rows = weights.sum(axis=2), weights.sum(axis=3)
  column, row = _dot(columns, across), _dot(rows, down)
  # A pixel is not a point: its own extent counts.
  columns_variance = _dot(columns, across**2) - column**2 + 1 / (3 * width**2)
  rows_variance = _dot(rows, down**2) - row**2 + 1 / (3 * height**2)
  columns_std = jnp.sqrt(jnp.maximum(columns_variance, 0))
  rows_std = jnp.sqrt(jnp.maximum(rows_variance, 0))
  joint = _dot(jnp.swapaxes(weights, 2, 3), down)
  covariance = _dot(joint, across) - column * row
  mass = areas.mean(axis=(2, 3))
  border = 1 - 2 * BORDER
  return jnp.stack(
    [
      jnp.log2(jnp.maximum(mass, _LEAST_AREA)),
      column,
      row,
      columns_std,
      rows_std,
      covariance / (columns_std * rows_std),
      # Sides of sqrt(12) deviations, of the picture's, which are 2 long.
      mass / (3 * columns_std * rows_std),
      _dot(columns, (across < -border).astype(np.float32)),
      _dot(columns, (across > border).astype(np.float32)),
      _dot(rows, (down < -border).astype(np.float32)),
      _dot(rows, (down > border).astype(np.float32)),
    ],
    axis=-1,
  )


def _dot(arrays: Float[Array, "*lead n"], values: Float[np.ndarray, "n"]) -> Array:
  product: Array = jnp.einsum(
    "...n,n->...", arrays, values, precision=jax.lax.Precision.HIGHEST
  )
  return product
