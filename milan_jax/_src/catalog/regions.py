"""Draws a region on its image with a yellow border; dims the rest of the image."""

import functools

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from milan_jax._src.images.sizes import Size, sides

YELLOW = (255, 221, 0)
DIMMED = 0.35
BORDER = 1
TILE = 112
# Samples from over a unit's range are shown smaller, in one row.
SAMPLE_TILE = 64
# The gap between tiles, so that dimmed tiles are separated.
GAP = 2
GAP_GRAY = 128
TILES_ACROSS = 5


def grown(
  mask: Bool[np.ndarray, "*batch height width"], steps: int
) -> Bool[np.ndarray, "*batch height width"]:
  """Returns masks dilated by `steps` rows and columns."""
  for axis in (-2, -1):
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
  if height % down == 0 and width % across == 0:
    by, along = height // down, width // across
    parts = [mask[i::by, j::along] for i in range(by) for j in range(along)]
    return functools.reduce(np.logical_or, parts)
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
  rows, columns = inside_tile(image.shape[:2], size)
  fitted = (rows.stop - rows.start, columns.stop - columns.start)
  small = Image.fromarray(image).resize(fitted[::-1], Image.Resampling.LANCZOS)
  drawn = render_region(np.asarray(small), resized_mask(mask, fitted), dimmed=dimmed)
  whole = np.full((size, size, 3), GAP_GRAY, np.uint8)
  whole[rows, columns] = drawn
  return whole


def inside_tile(shape: tuple[int, int], size: int = TILE) -> tuple[slice, slice]:
  """Returns the rows and columns that an image covers in a tile.

  Args:
    shape: height and width of the image; its longer side covers the tile.
    size: side of the tile, in pixels.
  """
  longer = max(shape)
  sides = [max(1, side * size // longer) for side in shape]
  rows, columns = (
    slice((size - side) // 2, (size - side) // 2 + side) for side in sides
  )
  return rows, columns
