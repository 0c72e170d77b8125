"""From the bytes of a picture file to the size that a network sees."""

import contextlib
import io
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, JpegImagePlugin

from milan_jax._src.images.geometry import Geometry, OtherSizeError, fit, to_channels
from milan_jax._src.images.source import UnreadableImageError

# What pictures are recognized by their first bytes, whatever a file is called. Pillow
# knows more formats, some of which start programs (EPS) or hold no photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# A picture with more pixels (268 MB as RGB) is not decoded whole: Pillow's own limit.
MAX_PIXELS = 89_478_485


def load_picture(
  file: pathlib.Path | bytes, geometry: Geometry
) -> UInt8[np.ndarray, "height width channels"]:
  """Reads one picture.

  A JPEG of more than `MAX_PIXELS` pixels is read at a half, a quarter or an eighth of
  its size, as far as its shorter side stays at least what the geometry needs.

  Args:
    file: where the picture is, or the bytes of its file.
    geometry: what is done to it.

  Raises:
    UnreadableImageError: if it is missing, damaged, too large or no picture.
    OtherSizeError: if it is to be taken as it is and has another size.
  """
  with _opened(file) as image:
    _shrink(image, geometry)
    return fit(to_channels(image, geometry.channels), geometry)


def picture_shape(file: pathlib.Path | bytes) -> tuple[int, int]:
  """Height and width of a picture, upright, in pixels; its pixels are not decoded.

  Raises:
    UnreadableImageError: if it is missing, damaged or no picture.
  """
  with _opened(file) as image:
    width, height = image.size
    lies = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (width, height) if lies else (height, width)


@contextlib.contextmanager
def _opened(file: pathlib.Path | bytes) -> Iterator[Image.Image]:
  """Opens a picture; what fails inside is said to be the picture's fault."""
  try:
    content = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
    with content, _open(content) as image:
      yield image
  except (UnreadableImageError, OtherSizeError):
    raise
  except FileNotFoundError as error:
    raise UnreadableImageError("there is no such file") from error
  except MemoryError:
    raise  # of this machine, not of this picture
  except Exception as error:
    # Pillow's readers raise whatever a broken file makes them stumble over
    # (OSError, SyntaxError, struct.error, IndexError, ...): no list is complete.
    raise UnreadableImageError(
      f"it cannot be decoded ({type(error).__name__}: {error})"
    ) from error


def _open(file: io.BytesIO | io.BufferedReader) -> Image.Image:
  """Opens a picture as `Image.open` does, whatever its number of pixels.

  `Image.open` warns of large pictures or refuses them, before anyone can ask for less
  of them.
  """
  prefix = file.read(32)
  if not prefix:
    raise UnreadableImageError("the file is empty")
  Image.init()
  for name in FORMATS:
    # A Pillow before 11.3 has never heard of AVIF.
    reader, accept = Image.OPEN.get(name, (None, None))
    # A string says that this Pillow cannot read the format.
    if reader and accept and (accepted := accept(prefix)):
      if isinstance(accepted, str):
        raise UnreadableImageError(accepted)
      file.seek(0)
      if name == "JPEG":  # several pictures in one JPEG: only the first is wanted
        return JpegImagePlugin.JpegImageFile(file)
      return reader(file, "")
  raise UnreadableImageError(
    f"it is not a picture of a known format ({', '.join(FORMATS)})"
  )


def _shrink(image: Image.Image, geometry: Geometry) -> None:
  """Has a picture that is too large decoded at less than its size.

  Raises:
    UnreadableImageError: if that is not possible.
  """
  width, height = image.size
  if width * height <= MAX_PIXELS:
    return
  size = f"its {width} x {height} pixels are more than the {MAX_PIXELS:,} that are read"
  if image.format != "JPEG" or not geometry.least:
    raise UnreadableImageError(f"{size}: make it smaller")
  if image.info.get("progressive"):
    # Its decoder holds all of it at full size, whatever is asked for.
    raise UnreadableImageError(f"{size} of a progressive JPEG: make it smaller")
  image.draft(None, geometry.least[::-1])
  if image.width * image.height > MAX_PIXELS:
    raise UnreadableImageError(f"{size}, and it is too narrow to be read smaller")
