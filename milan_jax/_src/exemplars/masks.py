"""From activation maps and thresholds to masks in the image's pixels."""

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.images.sizes import Size, sides


def activation_masks(
  maps: Float[np.ndarray, "*batch height width"],
  thresholds: Float[np.ndarray, "*batch"],
  *,
  size: Size,
  bounded: bool = False,
) -> Bool[np.ndarray, "*batch rows columns"]:
  """Marks the pixels where the upsampled activation exceeds the unit's threshold.

  The upsampling is bilinear between the centers of positions (half-pixel), and the map
  is surrounded by zeros: toward the edge of the image, beyond the outermost centers,
  it falls off to half its value. A map of one position is constant.

  Two positions count for a row of pixels, and two for a column. They are summed one by
  one: a mask is the same on any machine and whichever others are made with it, which a
  matrix product does not promise at a mask's very edge.

  Args:
    maps: raw activations, in the model's own units.
    thresholds: the .99 quantile of each map's unit, in the same units as `maps`.
    size: of the output, in pixels.
    bounded: whether a map with a negative threshold is surrounded by the threshold.
      Zeros exceed it, and mark the edge of the image wherever the unit is.

  Raises:
    ValueError: if `size` is not positive.

  Source: Bau et al. 2017, "Network Dissection", section 3. The zeros around the map are
  the original MILAN's; they shrink masks at the edges of coarse layers.
  """
  down, across = sides(size)
  if min(down, across) < 1:
    raise ValueError(f"the side of a mask is positive, not {size}")
  height, width = maps.shape[-2:]
  if (height, width) == (1, 1):
    above = maps > thresholds[..., None, None]
    return np.broadcast_to(above, (*maps.shape[:-2], down, across))
  maps = maps.astype(np.float32)
  if bounded:
    around = np.minimum(thresholds, 0).astype(np.float32)
    maps, thresholds = maps - around[..., None, None], thresholds - around
  before, after, left, right = neighbors(width, across)
  wide = maps[..., before] * left + maps[..., after] * right
  before, after, upper, lower = neighbors(height, down)
  masks = np.empty((*maps.shape[:-2], down, across), bool)
  flat = masks.reshape(-1, down, across)
  levels = np.broadcast_to(thresholds, maps.shape[:-2]).reshape(-1)
  # Map by map, in memory that stays in the cache.
  tall, other = (np.empty((down, across), np.float32) for _ in range(2))
  for place, rows in enumerate(wide.reshape(-1, height, across)):
    np.take(rows, before, axis=0, out=tall, mode="clip")
    np.take(rows, after, axis=0, out=other, mode="clip")
    tall *= upper[:, None]
    other *= lower[:, None]
    tall += other
    np.greater(tall, levels[place], out=flat[place])
  return masks


def neighbors(
  length: int, size: int
) -> tuple[
  Int[np.ndarray, "{size}"],
  Int[np.ndarray, "{size}"],
  Float[np.ndarray, "{size}"],
  Float[np.ndarray, "{size}"],
]:
  """Returns the positions on both sides of each of `size` pixels, and their weights.

  Pixel i, whose center is i + 1/2, lies at (i + 1/2) length / size - 1/2 in positions.
  The weight of a position is 1 minus its distance. Beyond the outermost positions,
  where the zeros around the map have the rest of the weight, one of the two has weight
  0.
  """
  pixels = (np.arange(size) + 0.5) * length / size - 0.5
  before = np.floor(pixels).astype(np.int64)
  after = before + 1
  right = (pixels - before).astype(np.float32)
  left = (1 - (pixels - before)).astype(np.float32)
  left[before < 0] = 0
  right[after >= length] = 0
  return np.maximum(before, 0), np.minimum(after, length - 1), left, right
