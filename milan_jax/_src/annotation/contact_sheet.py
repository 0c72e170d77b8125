"""Draws units on a contact sheet.

A unit has two rows of tiles: its regions on the whole images, and the enlarged regions
below them. A sheet is narrow enough that viewers do not shrink it, so that a person or
a model sees every tile at full size.
"""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from milan_jax._src.annotation.drawn_regions import MOST_REGIONS
from milan_jax._src.catalog.regions import grown, render_region, resized_mask, tile

LETTERS = "ABCDEF"
TILE = 102
GAP = 2
# Height of the line above each unit, with its letter, and of the first line, with the
# sheet's number.
HEADER = 22
WIDTH = MOST_REGIONS * (TILE + GAP) - GAP
PER_UNIT = HEADER + 2 * (TILE + GAP)
BACKGROUND, INK = (255, 255, 255), (0, 0, 0)
# Brightness outside the region, higher than on the page: tiles are small, and the
# context shows what the region is a part of.
DIMMED = 0.5
# The side of an enlarged region's crop is `MARGIN` times the region's longer side, and
# at least `SMALLEST` times the image's shorter side: smaller crops show too little.
MARGIN = 1.5
SMALLEST = 0.25
# Side of the mask, in pixels, in which connected parts are found.
_COARSE = 64

# Images and masks of one unit; number and size differ between units.
Regions = tuple[UInt8[np.ndarray, "_ _ _ 3"], Bool[np.ndarray, "_ _ _"]]


def contact_sheet(number: int, units: Sequence[Regions]) -> bytes:
  """Draws some units, lettered from A.

  Args:
    number: the sheet's number.
    units: images and masks of each unit's regions, best first; at most six units with
      at most fifteen regions each.

  Returns:
    The sheet as a PNG file.
  """
  size = WIDTH, HEADER + len(units) * PER_UNIT - GAP
  sheet = Image.new("RGB", size, BACKGROUND)
  pen = ImageDraw.Draw(sheet)
  font = ImageFont.load_default(18)
  pen.text((2, 0), f"sheet {number}", INK, font)
  for place, (images, masks) in enumerate(units):
    top = HEADER + place * PER_UNIT
    pen.text((2, top), LETTERS[place], INK, font)
    for column, (image, mask) in enumerate(zip(images, masks, strict=True)):
      left = column * (TILE + GAP)
      whole = tile(image, mask, TILE, dimmed=DIMMED)
      sheet.paste(Image.fromarray(whole), (left, top + HEADER))
      large = enlarged(image, mask, TILE)
      sheet.paste(Image.fromarray(large), (left, top + HEADER + TILE + GAP))
  buffer = io.BytesIO()
  # Half as long as the default level, and 2 % larger.
  sheet.save(buffer, "PNG", compress_level=3)
  return buffer.getvalue()


def enlarged(
  image: UInt8[np.ndarray, "height width 3"],
  mask: Bool[np.ndarray, "height width"],
  size: int,
) -> UInt8[np.ndarray, "{size} {size} 3"]:
  """Crops the largest part of a region with a margin; outlines it in yellow."""
  top, left, side = crop_of(mask)
  inside = slice(top, top + side), slice(left, left + side)
  large = Image.fromarray(image[inside]).resize((size, size), Image.Resampling.LANCZOS)
  drawn = resized_mask(mask[inside], size)
  return render_region(np.asarray(large), drawn, dimmed=1.0)


def crop_of(mask: Bool[np.ndarray, "height width"]) -> tuple[int, int, int]:
  """Returns top, left and side of a square crop around a mask's largest part."""
  height, width = mask.shape
  coarse = resized_mask(mask, min(_COARSE, height, width))
  part = resized_mask(_largest_part(coarse), (height, width)) & mask
  rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
  extent = max(np.ptp(rows), np.ptp(columns)) + 1
  shorter = min(height, width)
  side = int(min(shorter, max(round(MARGIN * extent), round(SMALLEST * shorter))))
  top = (int(rows[0]) + int(rows[-1]) + 1 - side) // 2
  left = (int(columns[0]) + int(columns[-1]) + 1 - side) // 2
  return min(max(top, 0), height - side), min(max(left, 0), width - side), side


def _largest_part(mask: Bool[np.ndarray, "side side"]) -> Bool[np.ndarray, "side side"]:
  """Returns the largest connected part of a mask."""
  rest, largest = mask.copy(), np.zeros_like(mask)
  while rest.sum() > largest.sum():
    part = np.zeros_like(mask)
    part.flat[int(rest.argmax())] = True
    before = 0
    while part.sum() > before:
      before = int(part.sum())
      part = grown(part, 1) & rest
    rest &= ~part
    if part.sum() > largest.sum():
      largest = part
  return largest
