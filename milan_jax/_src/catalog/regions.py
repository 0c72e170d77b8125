"""Draws a region on its image with a yellow border; dims the rest of the image."""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from milan_jax._src.images.sizes import Size, sides

YELLOW = (255, 221, 0)
DIMMED = 0.35
BORDER = 1
TILE = 112
# The gap between tiles, so that dimmed tiles are separated.
GAP = 2
GAP_GRAY = 128
TILES_ACROSS = 5


def grown(
  mask: Bool[np.ndarray, "height width"], steps: int
) -> Bool[np.ndarray, "height width"]:
  """Returns the mask dilated by `steps` rows and columns."""
  for axis in (0, 1):
    lanes = np.moveaxis(mask.copy(), axis, 0)
    for step in range(1, steps + 1):
      lanes[step:] |= np.moveaxis(mask, axis, 0)[:-step]
      lanes[:-step] |= np.moveaxis(mask, axis, 0)[step:]
    mask = np.moveaxis(lanes, 0, axis)
  return mask


def render_region(
  image: UInt8[np.ndarray, "height width 3"],
  mask: Bool[np.ndarray, "height width"],
  *,
  border: int = BORDER,
  dimmed: float = DIMMED,
) -> UInt8[np.ndarray, "height width 3"]:
  """Dims the image outside the mask and draws a yellow border around the mask.

  The border is outside the mask, so that it does not cover small masks.

  Args:
    image: the whole image.
    mask: the region.
    border: thickness of the border, in pixels.
    dimmed: how bright the image stays outside the mask; 1 for as it is.
  """
  drawn = np.where(mask[:, :, None], image, np.round(image * dimmed).astype(np.uint8))
  drawn[grown(mask, border) & ~mask] = YELLOW
  return drawn


def resized_mask(
  mask: Bool[np.ndarray, "height width"], size: Size
) -> Bool[np.ndarray, "rows columns"]:
  """Resizes a mask; an output pixel is set if any pixel of the mask falls into it."""
  height, width = mask.shape
  down, across = sides(size)
  if (height, width) == (down, across):
    return mask
  rows, columns = np.nonzero(mask)
  result = np.zeros((down, across), bool)
  result[rows * down // height, columns * across // width] = True
  if height < down or width < across:
    row = np.arange(down) * height // down
    column = np.arange(across) * width // across
    result |= mask[row][:, column]
  return result


def tile(
  image: UInt8[np.ndarray, "height width 3"],
  mask: Bool[np.ndarray, "height width"],
  size: int = TILE,
  *,
  dimmed: float = DIMMED,
) -> UInt8[np.ndarray, "{size} {size} 3"]:
  """Returns a region at the size of the page's tiles, with the border at that size.

  A non-square image keeps its aspect ratio and is padded with gray. `dimmed` is the
  brightness of the image outside the mask.
  """
  height, width = image.shape[:2]
  longer = max(height, width)
  down, across = (max(1, side * size // longer) for side in (height, width))
  small = Image.fromarray(image).resize((across, down), Image.Resampling.LANCZOS)
  drawn = render_region(
    np.asarray(small), resized_mask(mask, (down, across)), dimmed=dimmed
  )
  whole = np.full((size, size, 3), GAP_GRAY, np.uint8)
  top, left = (size - down) // 2, (size - across) // 2
  whole[top : top + down, left : left + across] = drawn
  return whole
