"""The pictures of a unit: a sheet of its images, and a cover that shows the regions.

The cover is transparent inside the regions, dims the rest and has the yellow border. A
page lays it over the sheet, and shows the whole images by hiding it. Both are WebP: the
sheet is lossy, the cover lossless. Tiles are `TILES_ACROSS` per row, best first.
"""

import concurrent.futures
import io
import pathlib
import urllib.parse
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from milan_jax._src.catalog.regions import (
  BORDER,
  DIMMED,
  GAP,
  GAP_GRAY,
  SAMPLE_TILE,
  TILE,
  TILES_ACROSS,
  YELLOW,
  grown,
  inside_tile,
  resized_mask,
)
from milan_jax._src.catalog.signatures import is_signed, signed
from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.records import Unit
from milan_jax._src.runs.cores import num_cores

SHEET, COVER = ".webp", ".cover.webp"
RANGE = ".range"  # in the names of the pictures of samples
QUALITY = 60
# Of 0 to 6: 4, the default, takes twice as long for files that are 2% smaller.
_METHOD = 2
# Quality is effort here; 80, the default, takes twice as long for the same size.
_LOSSLESS = {"method": 1, "quality": 20}
# Colors of a cover: nothing over a region, dimmed outside of it, and its border.
_INKS = np.array(
  [(0, 0, 0, 0), (0, 0, 0, round(255 * (1 - DIMMED))), (*YELLOW, 255)], np.uint8
)
_LONGEST_NAME = 200
# Threads that draw; each has the regions of a unit in memory, some megabytes.
_MOST_WORKERS = 8
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


class Drawing:
  """Draws the pictures of units on all cores, while the next units are read.

  Used in a `with` block; what was begun is finished when the block ends.

  Attributes:
    ahead: how many units to begin before the first of them is waited for. Their
      regions are in memory.
  """

  def __init__(self) -> None:
    workers = min(num_cores(), _MOST_WORKERS)
    self.ahead = workers + 1
    # Encoding and resizing run outside of Python's lock.
    self._pool = concurrent.futures.ThreadPoolExecutor(workers)

  def __enter__(self) -> "Drawing":
    return self

  def __exit__(self, *error: object) -> None:
    self._pool.shutdown()

  def begin(
    self,
    folder: pathlib.Path,
    unit: Unit,
    regions: Callable[[], Regions],
    *,
    samples: bool = False,
  ) -> concurrent.futures.Future[tuple[int, int]]:
    """Begins to draw a unit's sheet and cover, unless the folder has both.

    Args:
      folder: of the layer's pictures.
      unit: the unit.
      regions: returns its images and masks, best first; called here, and only if a
        picture must be drawn.
      samples: whether they are of samples from over the unit's range: smaller, and in
        one row.

    Returns:
      A future of the width and height of both, in pixels.

    Raises:
      UserError: if a picture's place cannot be read.
    """
    name = unit_name(unit) + (RANGE if samples else "")
    paths = [folder / f"{name}{suffix}" for suffix in (SHEET, COVER)]
    marks = [f"{unit.layer}:{name}{suffix}" for suffix in (SHEET, COVER)]
    sizes = [_kept(path, mark) for path, mark in zip(paths, marks, strict=True)]
    if None in sizes:
      return self._pool.submit(_draw, paths, marks, *regions(), samples)
    kept = concurrent.futures.Future[tuple[int, int]]()
    kept.set_result(sizes[0])  # type: ignore[arg-type]
    return kept


def _draw(
  paths: Sequence[pathlib.Path],
  marks: Sequence[str],
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
  samples: bool,
) -> tuple[int, int]:
  """Writes a sheet and its cover; returns their size."""
  sheet, cover, size = _drawn(images, masks, samples=samples)
  for path, mark, picture in zip(paths, marks, (sheet, cover), strict=True):
    _write(path, signed(picture, size, mark))
  return size


def num_tiles(size: tuple[int, int]) -> int:
  """Returns the number of places for tiles in a picture of this size."""
  across, down = ((side + GAP) // (TILE + GAP) for side in size)
  return across * down


def _drawn(
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
  *,
  samples: bool,
) -> tuple[bytes, bytes, tuple[int, int]]:
  """Returns the sheet and the cover as files, and the size of both."""
  side = SAMPLE_TILE if samples else TILE
  across = max(1, len(images) if samples else min(TILES_ACROSS, len(images)))
  down = max(1, -(-len(images) // across))
  step = side + GAP
  width, height = across * step - GAP, down * step - GAP
  rows, columns = inside_tile(images.shape[1:3], side)
  fitted = (rows.stop - rows.start, columns.stop - columns.start)
  sheet = np.full((height, width, 3), GAP_GRAY, np.uint8)
  # Which of `_INKS` covers each pixel.
  cover = np.zeros((height, width), np.uint8)
  regions = np.zeros((len(masks), *fitted), bool)
  for place, mask in enumerate(masks):
    regions[place] = resized_mask(mask, fitted)
  inks = np.where(grown(regions, BORDER), np.uint8(2), np.uint8(1))
  inks[regions] = 0
  for place, image in enumerate(images):
    top, left = (place // across) * step, (place % across) * step
    tile = (
      slice(top + rows.start, top + rows.stop),
      slice(left + columns.start, left + columns.stop),
    )
    # The part of the reduction that is by a whole number is a mean, which is fast.
    small = Image.fromarray(image).resize(
      fitted[::-1], Image.Resampling.LANCZOS, reducing_gap=1.0
    )
    sheet[tile], cover[tile] = np.asarray(small), inks[place]
  return (
    _webp(sheet, quality=QUALITY, method=_METHOD),
    _webp(_INKS[cover], lossless=True, **_LOSSLESS),
    (width, height),
  )


def _webp(pixels: np.ndarray, **how: int) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "WEBP", **how)
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


def _kept(path: pathlib.Path, mark: str) -> tuple[int, int] | None:
  """Returns the size of a picture that need not be drawn; None if it must be."""
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
    return picture.size


def _write(path: pathlib.Path, data: bytes) -> None:
  """Writes to a staging file, then renames it atomically."""
  path.parent.mkdir(parents=True, exist_ok=True)
  staging = path.with_name(f".{path.name}.partial")
  staging.write_bytes(data)
  staging.replace(path)
