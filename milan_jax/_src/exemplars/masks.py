"""From activation maps and thresholds to masks in the image's pixels."""

import numpy as np
from jaxtyping import Bool, Float

from milan_jax._src.images.sizes import Size, sides


def activation_masks(
  maps: Float[np.ndarray, "*batch height width"],
  thresholds: Float[np.ndarray, "*batch"],
  *,
  size: Size,
) -> Bool[np.ndarray, "*batch rows columns"]:
  """Marks the pixels where the upsampled activation exceeds the unit's threshold.

  The upsampling is bilinear between the centers of positions (half-pixel), and the map
  is surrounded by zeros: toward the edge of the image, beyond the outermost centers,
  it falls off to half its value. A map of one position is constant.

  In numpy, map by map: a mask is the same whichever others are made with it, which a
  compiled product over a batch does not promise at a mask's very edge.

  Args:
    maps: raw activations, in the model's own units.
    thresholds: the .99 quantile of each map's unit, in the same units as `maps`.
    size: of the output, in pixels.

  Raises:
    ValueError: if `size` is not positive.

  Source: Bau et al. 2017, "Network Dissection", section 3. The zeros around the map are
  the original MILAN's; they shrink masks at the edges of coarse layers.
  """
  down, across = sides(size)
  if min(down, across) < 1:
    raise ValueError(f"the side of a mask is positive, not {size}")
  height, width = maps.shape[-2:]
  above = thresholds[..., None, None]
  if (height, width) == (1, 1):
    return np.broadcast_to(maps > above, (*maps.shape[:-2], down, across))
  rows = interpolation_matrix(height, down)
  columns = interpolation_matrix(width, across).T
  masks: np.ndarray = (rows @ maps.astype(np.float32) @ columns) > above
  return masks


def interpolation_matrix(
  length: int, size: int
) -> Float[np.ndarray, "{size} {length}"]:
  """Weight of each of `length` positions in each of `size` pixels.

  Pixel i, whose center is i + 1/2, lies at (i + 1/2) length / size - 1/2 in positions.
  The weight of a position is 1 minus its distance, or 0 from a distance of 1 on. So a
  row sums to 1, or less beyond the outermost positions, where the zeros around the map
  have the rest of the weight.
  """
  pixels = (np.arange(size) + 0.5) * length / size - 0.5
  distances = np.abs(pixels[:, None] - np.arange(length)[None, :])
  return np.maximum(0.0, 1.0 - distances).astype(np.float32)
