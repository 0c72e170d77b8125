"""The pictures of a unit: a sheet of its images, and a cover that shows the regions.

The cover is transparent inside the regions, dims the rest and has the yellow border. A
page lays it over the sheet, and shows the whole images by hiding it. Both are WebP: the
sheet is lossy, the cover lossless. Tiles are `TILES_ACROSS` per row, best first.
"""

import io
import pathlib
import urllib.parse
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from milan_jax._src.catalog.regions import (
  BORDER,
  DIMMED,
  GAP,
  GAP_GRAY,
  TILE,
  TILES_ACROSS,
  YELLOW,
  grown,
  resized_mask,
)
from milan_jax._src.catalog.signatures import is_signed, signed
from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.records import Unit

SHEET, COVER = ".webp", ".cover.webp"
QUALITY = 72
# Of 0 to 6: 4, the default, takes twice as long for files that are 2% smaller.
_METHOD = 2
_LONGEST_NAME = 200
Regions = tuple[
  UInt8[np.ndarray, "k height width 3"], Bool[np.ndarray, "k height width"]
]


def folder_name(layer: str) -> str:
  """Returns the name of a layer's folder of pictures."""
  name = urllib.parse.quote(layer, safe="", errors="surrogatepass")
  if name in ("", ".", ".."):
    name = f"+{name.replace('.', '%2E')}"
  if len(name) > _LONGEST_NAME:
    name = f"{name[: _LONGEST_NAME - 33]}+{sha256_of([name])[:32]}"
  return name


def unit_name(unit: Unit) -> str:
  """Returns the name of a unit in its layer: `17`, or `17-off`."""
  return f"{unit.index}-off" if unit.sign == "off" else f"{unit.index}"


def draw_unit(
  folder: pathlib.Path, unit: Unit, regions: Callable[[], Regions]
) -> tuple[int, int]:
  """Draws a unit's sheet and cover, unless the folder has both.

  Args:
    folder: of the layer's pictures.
    unit: the unit.
    regions: returns its images and masks, best first; called only if a picture must be
      drawn.

  Returns:
    The width and height of both, in pixels.

  Raises:
    UserError: if a picture's place cannot be read.
  """
  name = unit_name(unit)
  paths = [folder / f"{name}{suffix}" for suffix in (SHEET, COVER)]
  marks = [f"{unit.layer}:{name}{suffix}" for suffix in (SHEET, COVER)]
  kept = [_kept(path, mark) for path, mark in zip(paths, marks, strict=True)]
  if None in kept:
    kept = [*_drawn(*regions())]
    for place, path in enumerate(paths):
      data, size = kept[place]  # type: ignore[misc]
      _write(path, signed(data, size, marks[place]))
  return kept[0][1]  # type: ignore[index]


def num_tiles(size: tuple[int, int]) -> int:
  """Returns the number of places for tiles in a picture of this size."""
  across, down = ((side + GAP) // (TILE + GAP) for side in size)
  return across * down


def _drawn(
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
) -> list[tuple[bytes, tuple[int, int]]]:
  """Returns the sheet and the cover as files, each with its size."""
  across = max(1, min(TILES_ACROSS, len(images)))
  down = max(1, -(-len(images) // across))
  step = TILE + GAP
  width, height = across * step - GAP, down * step - GAP
  sheet = np.full((height, width, 3), GAP_GRAY, np.uint8)
  cover = np.zeros((height, width, 4), np.uint8)
  for place, (image, mask) in enumerate(zip(images, masks, strict=True)):
    top, left = (place // across) * step, (place % across) * step
    rows, columns, small = _fitted(image)
    rows, columns = rows + top, columns + left
    inside = (
      slice(rows, rows + small.shape[0]),
      slice(columns, columns + small.shape[1]),
    )
    sheet[inside] = small
    cover[inside] = _cover(resized_mask(mask, small.shape[1::-1]))
  return [
    (_webp(sheet, quality=QUALITY), (width, height)),
    (_webp(cover, lossless=True), (width, height)),
  ]


def _fitted(
  image: UInt8[np.ndarray, "height width 3"],
) -> tuple[int, int, UInt8[np.ndarray, "rows columns 3"]]:
  """Returns an image at a tile's size, and its place in the tile."""
  height, width = image.shape[:2]
  longer = max(height, width)
  down, across = (max(1, side * TILE // longer) for side in (height, width))
  small = Image.fromarray(image).resize((across, down), Image.Resampling.LANCZOS)
  return (TILE - down) // 2, (TILE - across) // 2, np.asarray(small)


def _cover(
  mask: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 4"]:
  drawn = np.zeros((*mask.shape, 4), np.uint8)
  drawn[~mask, 3] = round(255 * (1 - DIMMED))
  drawn[grown(mask, BORDER) & ~mask] = (*YELLOW, 255)
  return drawn


def _webp(pixels: np.ndarray, **how: int) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "WEBP", method=_METHOD, **how)
  return buffer.getvalue()


def heat_maps(
  maps: Float[np.ndarray, "k height width"], side: int = 14
) -> UInt8[np.ndarray, "k rows columns"]:
  """Returns activation maps as bytes: 0 for the least value and 255 for the greatest.

  Args:
    maps: the maps of one unit; values that are not finite count as the least.
    side: the longest side of the result, in cells; larger maps are averaged.
  """
  maps = np.where(np.isfinite(maps), maps, np.nan).astype(np.float64)
  if np.isnan(maps).all():
    maps = np.zeros_like(maps)
  maps = np.nan_to_num(maps, nan=float(np.nanmin(maps)))
  for axis in (1, 2):
    count = maps.shape[axis]
    if count > side:
      starts = np.arange(side) * count // side
      widths = np.diff(np.append(starts, count))
      shape = [1, 1, 1]
      shape[axis] = side
      maps = np.add.reduceat(maps, starts, axis=axis) / widths.reshape(shape)
  low, high = maps.min(), maps.max()
  scaled = (maps - low) * (255 / (high - low) if high > low else 0)
  result: np.ndarray = np.rint(scaled).astype(np.uint8)
  return result


def _kept(path: pathlib.Path, mark: str) -> tuple[bytes, tuple[int, int]] | None:
  """Returns a picture that need not be drawn, with its size; None if it must be."""
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    return None
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}): remove it and run the command again."
    ) from error
  if not is_signed(data, mark):
    return None
  with Image.open(io.BytesIO(data)) as picture:
    return data, picture.size


def _write(path: pathlib.Path, data: bytes) -> None:
  """Writes to a staging file, then renames it atomically."""
  path.parent.mkdir(parents=True, exist_ok=True)
  staging = path.with_name(f".{path.name}.partial")
  staging.write_bytes(data)
  staging.replace(path)
