"""Uploaded pictures: decoded in memory, within limits on bytes, pixels and number.

Nothing here writes a file. A picture is untrusted until it is an array of `SIZE` x
`SIZE` pixels, and only that array is sent back to the browser.
"""

import base64
import binascii
import io
import json
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.picture_files import load_picture
from milan_jax._src.images.source import UnreadableImageError

# Pictures that are described together, as exemplars of one unit.
MAX_PICTURES = 15
MAX_BYTES = 10_000_000
MAX_PIXELS = 25_000_000
# Size of the pictures that the region encoder takes, in pixels.
SIZE = 224
# The formats that browsers show.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

_GEOMETRY = Geometry(resize=SIZE, crop=SIZE, fitting="resize-crop")
# A decoded picture takes up to 100 MB: one at a time, whatever the number of requests.
_DECODING = threading.Lock()
# Names are shown, and the longest on most file systems has 255 bytes.
_LONGEST_NAME = 255

Pictures = tuple[
  UInt8[np.ndarray, "k height width 3"], Bool[np.ndarray, "k height width"]
]


def read_picture(data: bytes, name: str) -> UInt8[np.ndarray, "224 224 3"]:
  """Decodes an uploaded picture: its central square, resized.

  Args:
    data: the file.
    name: what messages call it.

  Raises:
    UserError: it is empty, too large in bytes or pixels, corrupt, or not a picture.
  """
  if len(data) > MAX_BYTES:
    raise _too_large(name, len(data))
  try:
    with _DECODING:
      return load_picture(data, _GEOMETRY, formats=FORMATS, max_pixels=MAX_PIXELS)
  except UnreadableImageError as error:
    raise UserError(f"{name}: {error}. Choose another picture.") from error


def prepare(upload: object) -> dict[str, str]:
  """Decodes one upload for the browser to show and to paint on.

  Args:
    upload: `{"name": ..., "data": ...}`, the file in base64.

  Returns:
    `{"name": ..., "picture": ...}`, the central square as a PNG file in a data URL;
    `{"error": ...}` if the upload is refused.
  """
  try:
    name = _name(upload)
    data = upload.get("data") if isinstance(upload, Mapping) else None
    pixels = read_picture(_decoded(data, name), name)
  except UserError as error:
    return {"error": str(error)}
  return {"name": name, "picture": data_url(pixels)}


def read_regions(value: object) -> Pictures:
  """Reads painted pictures as the browser sends them, one unit's exemplars.

  Args:
    value: a JSON text, a list of `{"name", "picture", "mask"}` with data URLs of PNG
      files. Painted pixels of a mask are opaque. Where nothing is painted, the whole
      picture is the region.

  Raises:
    UserError: there is no picture, there are too many, or one cannot be read.
  """
  try:
    items = json.loads(value) if isinstance(value, str) and value else []
  except (ValueError, RecursionError):
    items = None
  if not isinstance(items, list):
    raise UserError("Pictures: expected a list; reload the page.")
  if not items:
    raise UserError("Choose at least one picture first.")
  if len(items) > MAX_PICTURES:
    raise UserError(
      f"Pictures: expected at most {MAX_PICTURES}; found {len(items)}: remove some."
    )
  images, masks = [], []
  for item in items:
    name = _name(item)
    images.append(read_picture(_of_url(item.get("picture"), name), name))
    masks.append(_mask(item.get("mask"), name))
  return np.stack(images), np.stack(masks)


def data_url(pixels: UInt8[np.ndarray, "height width 3"]) -> str:
  """Returns a picture as a PNG file in a data URL."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG")
  return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _name(item: object) -> str:
  if not isinstance(item, Mapping):
    raise UserError("Pictures: expected names and files; reload the page.")
  name = item.get("name")
  return name[:_LONGEST_NAME] if isinstance(name, str) and name else "The picture"


def _decoded(data: Any, name: str) -> bytes:
  # Four letters hold three bytes.
  if isinstance(data, str) and len(data) > MAX_BYTES * 4 // 3 + 4:
    raise _too_large(name, len(data) * 3 / 4)
  try:
    return base64.b64decode(data, validate=True)
  except (binascii.Error, ValueError, TypeError) as error:
    raise UserError(f"{name}: it did not arrive whole; try again.") from error


def _too_large(name: str, size: float) -> UserError:
  return UserError(
    f"{name}: expected at most {MAX_BYTES / 1e6:g} MB; found {size / 1e6:.1f} MB: "
    "make it smaller."
  )


def _of_url(url: object, name: str) -> bytes:
  text = url if isinstance(url, str) else ""
  kind, _, data = text.partition(",")
  if kind != "data:image/png;base64":
    raise UserError(f"{name}: expected a PNG file; reload the page.")
  return _decoded(data, name)


def _mask(url: object, name: str) -> Bool[np.ndarray, "224 224"]:
  """Reads which pixels are painted; all of them if none is."""
  data = _of_url(url, name)
  try:
    with _DECODING, Image.open(io.BytesIO(data), formats=["PNG"]) as image:
      if image.size != (SIZE, SIZE):
        raise UserError(f"{name}: the region has another size; reload the page.")
      alpha = np.asarray(image.convert("RGBA"))[..., 3]
  except UserError:
    raise
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises many kinds on corrupt files
    raise UserError(f"{name}: the region did not arrive whole; try again.") from error
  painted: np.ndarray = alpha >= 128
  return painted if painted.any() else np.ones_like(painted)
