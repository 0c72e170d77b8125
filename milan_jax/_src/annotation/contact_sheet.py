"""Draws units on a contact sheet.

A unit takes two rows of tiles: its regions on the whole image, and below each the
region enlarged. A sheet is as wide as viewers show without shrinking it, so that a
person, or a model that looks at it, sees every tile at its own size.
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
# Above each unit, with its letter, and above the first, with the sheet's number.
HEADER = 22
WIDTH = MOST_REGIONS * (TILE + GAP) - GAP
PER_UNIT = HEADER + 2 * (TILE + GAP)
BACKGROUND, INK = (255, 255, 255), (0, 0, 0)
# Brighter outside the region than on the page: tiles are small, and it is mostly there
# that one sees what a region is a part of.
DIMMED = 0.5
# A region is enlarged with half its longer side around it, and to no more than a
# quarter of the image's shorter side: below that there is nothing to recognize.
MARGIN = 1.5
SMALLEST = 0.25
# Side, in pixels, at which the parts of a mask are told apart.
_COARSE = 64

# Images and masks; those of two units may differ in number and size.
Regions = tuple[UInt8[np.ndarray, "_ _ _ 3"], Bool[np.ndarray, "_ _ _"]]


def contact_sheet(number: int, units: Sequence[Regions]) -> bytes:
  """Draws some units, lettered from A.

  Args:
    number: of the sheet.
    units: at most six; images and masks of each one's regions, at most fifteen, best
      first.

  Returns:
    A PNG file.
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
  sheet.save(buffer, "PNG")
  return buffer.getvalue()


def enlarged(
  image: UInt8[np.ndarray, "height width 3"],
  mask: Bool[np.ndarray, "height width"],
  size: int,
) -> UInt8[np.ndarray, "{size} {size} 3"]:
  """The largest part of a region, cut out with a margin, its border in yellow."""
  top, left, side = crop_of(mask)
  inside = slice(top, top + side), slice(left, left + side)
  large = Image.fromarray(image[inside]).resize((size, size), Image.Resampling.LANCZOS)
  drawn = resized_mask(mask[inside], size)
  return render_region(np.asarray(large), drawn, dimmed=1.0)


def crop_of(mask: Bool[np.ndarray, "height width"]) -> tuple[int, int, int]:
  """Top, left and side of a square inside the image around a mask's largest part."""
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
  """The largest set of pixels of a mask that touch each other."""
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
