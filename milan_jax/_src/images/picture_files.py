"""Decodes picture files, and resizes and crops them for a network."""

import contextlib
import io
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin

from milan_jax._src.images.geometry import Geometry, SizeMismatchError, fit, to_channels
from milan_jax._src.images.source import UnreadableImageError

# Supported formats, recognized by a file's first bytes and not by its name. Pillow
# supports more, but some start other programs (EPS) or do not contain photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# A picture with more pixels (268 MB as RGB) is not decoded at full size; this is
# Pillow's limit.
MAX_PIXELS = 89_478_485


def load_picture(
  file: pathlib.Path | bytes,
  geometry: Geometry,
  *,
  formats: Sequence[str] = FORMATS,
  max_pixels: int | None = None,
) -> UInt8[np.ndarray, "height width channels"]:
  """Reads one picture.

  A JPEG of more than `MAX_PIXELS` pixels is decoded at 1/2, 1/4 or 1/8 of its size, but
  not smaller than the geometry needs.

  Args:
    file: the picture's file, or the bytes of it.
    geometry: how it is resized and cropped.
    formats: the formats that are read.
    max_pixels: pictures with more pixels are refused before any is decoded; None for
      no limit but `MAX_PIXELS`.

  Raises:
    UnreadableImageError: if the file is missing, corrupt, too large or not a picture.
    SizeMismatchError: if resizing is turned off and the picture has another size.
  """
  with _opened(file, formats) as image:
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
      raise UnreadableImageError(
        f"its {width:,} x {height:,} pixels exceed the limit of {max_pixels:,}"
      )
    _check_tiff(image, geometry.channels)
    _shrink(image, geometry)
    return fit(to_channels(image, geometry.channels), geometry)


def picture_shape(file: pathlib.Path | bytes) -> tuple[int, int]:
  """Height and width of a picture, upright, in pixels; its pixels are not decoded.

  Raises:
    UnreadableImageError: if the file is missing, corrupt or not a picture.
  """
  with _opened(file) as image:
    width, height = image.size
    is_rotated = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (width, height) if is_rotated else (height, width)


def num_pages(file: pathlib.Path | bytes) -> int:
  """Number of pages of a TIFF file; 1 for other formats, even if they are animated.

  Raises:
    UnreadableImageError: if the file is missing, corrupt or not a picture.
  """
  with _opened(file) as image:
    return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


@contextlib.contextmanager
def _opened(
  file: pathlib.Path | bytes, formats: Sequence[str] = FORMATS
) -> Iterator[Image.Image]:
  """Opens a picture; errors in the block are raised as UnreadableImageError."""
  try:
    content = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
    with content, _open(content, formats) as image:
      yield image
  except (UnreadableImageError, SizeMismatchError):
    raise
  except FileNotFoundError as error:
    raise UnreadableImageError("there is no such file") from error
  except MemoryError:
    raise  # a problem of this machine, not of this picture
  except Exception as error:
    # Pillow's readers raise many kinds of errors on a corrupt file (OSError,
    # SyntaxError, struct.error, IndexError, ...), and no list of them is complete.
    raise UnreadableImageError(
      f"it cannot be decoded ({type(error).__name__}: {error})"
    ) from error


def _open(file: io.BytesIO | io.BufferedReader, formats: Sequence[str]) -> Image.Image:
  """Opens a picture like `Image.open`, but with any number of pixels.

  `Image.open` warns about large pictures or rejects them before a smaller decoding can
  be requested.
  """
  prefix = file.read(32)
  if not prefix:
    raise UnreadableImageError("the file is empty")
  Image.init()
  for name in formats:
    # Pillow before 11.3 does not support AVIF.
    reader, accept = Image.OPEN.get(name, (None, None))
    # A string is the reason why this build of Pillow cannot read the format.
    if reader and accept and (accepted := accept(prefix)):
      if isinstance(accepted, str):
        raise UnreadableImageError(accepted)
      file.seek(0)
      if name == "JPEG":  # `reader` may open a multi-picture file; read the first only
        return JpegImagePlugin.JpegImageFile(file)
      return reader(file, "")
  raise UnreadableImageError(
    f"it is not a picture of a known format ({', '.join(formats)})"
  )


def _check_tiff(image: Image.Image, channels: int) -> None:
  """Refuses TIFF files whose samples Pillow reads as others, or leaves out.

  Raises:
    UnreadableImageError: if it is such a file.
  """
  tags = getattr(image, "tag_v2", None)
  if tags is None:
    return
  signed = 2 in np.atleast_1d(tags.get(TiffImagePlugin.SAMPLEFORMAT, 1))
  if signed and image.mode != "I":
    raise UnreadableImageError("its samples are signed: save it with samples from 0")
  white_is_zero = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
  if white_is_zero and image.mode.startswith("I"):
    raise UnreadableImageError(
      "its samples of 16 bits or more count from white: save it with 0 for black"
    )
  bands, stored = len(image.getbands()), tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
  if channels == 4 and 3 <= bands < stored:
    raise UnreadableImageError(
      f"of its {stored} samples per pixel, {bands} can be read, and the network takes "
      "4: give the images as an array, .npy or .npz"
    )


def _shrink(image: Image.Image, geometry: Geometry) -> None:
  """Makes a picture that is too large decode at a reduced size.

  Raises:
    UnreadableImageError: if that is not possible.
  """
  width, height = image.size
  if width * height <= MAX_PIXELS:
    return
  size = f"its {width} x {height} pixels exceed the limit of {MAX_PIXELS:,}"
  if image.format != "JPEG" or not geometry.min_shape:
    raise UnreadableImageError(f"{size}: make it smaller")
  if image.info.get("progressive"):
    # The decoder keeps all of it at full size even if a smaller size is requested.
    raise UnreadableImageError(f"{size} of a progressive JPEG: make it smaller")
  image.draft(None, geometry.min_shape[::-1])
  if image.width * image.height > MAX_PIXELS:
    raise UnreadableImageError(f"{size}, and it is too narrow to be decoded smaller")
