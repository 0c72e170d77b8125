"""Converts decoded pictures to the channels and size that a network takes.

Pixels are uint8 RGB, `height x width x 3`, 0 to 255.
"""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from milan_jax._src.images.sizes import Size, sides, size_text

INTERPOLATIONS = {
  "bilinear": Image.Resampling.BILINEAR,
  "bicubic": Image.Resampling.BICUBIC,
}
# Maximum aspect ratio of a picture that is resized whole. Photographs stay far below.
MAX_ASPECT = 16
# Values of the flag --fit.
FITS = ("resize-crop", "resize", "none")
# Channels that a picture file can be converted to; arrays may have any number.
PICTURE_CHANNELS = (1, 3, 4)


class SizeMismatchError(Exception):
  """A picture has another size than the required one.

  Attributes:
    found: the picture's height and width, in pixels.
  """

  def __init__(self, found: tuple[int, int]):
    super().__init__(found)
    self.found = found


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
  """How a picture is brought to the network's size: resized, then center-cropped.

  Attributes:
    resize: length of the shorter side after resizing, in pixels; or a height and a
      width, and the picture is resized to the smallest size that covers both; None does
      not resize.
    crop: size of the center crop, in pixels; a number is the side of a square.
    interpolation: `bilinear` or `bicubic`, both antialiased.
    squash: resize to `resize` exactly, ignoring the aspect ratio.
    fitting: empty to resize and crop all pictures except those that already have the
      size of the crop; `resize-crop` to resize and crop all; `resize` to resize all to
      the size of the crop, ignoring the aspect ratio; `none` to change none and reject
      other sizes.
    channels: 3 for RGB, 1 for gray, 4 for RGBA; other numbers for arrays.
  """

  resize: Size | None
  crop: Size
  interpolation: str = "bicubic"
  squash: bool = False
  fitting: str = ""
  channels: int = 3

  def __post_init__(self) -> None:
    crops, resized = self.shape, sides(self.resize or self.crop)
    fits = (0 < crop <= side for crop, side in zip(crops, resized, strict=True))
    if not all(fits):
      raise ValueError(
        f"need 0 < crop <= resize, got crop {self.crop}, resize {self.resize}"
      )
    if self.interpolation not in INTERPOLATIONS:
      raise ValueError(
        f"interpolation is one of {', '.join(INTERPOLATIONS)}, not "
        f"{self.interpolation!r}"
      )
    if self.fitting not in ("", *FITS):
      raise ValueError(f"fitting is one of {', '.join(FITS)}, not {self.fitting!r}")

  @property
  def shape(self) -> tuple[int, int]:
    """Height and width of the result, in pixels."""
    return sides(self.crop)

  @property
  def min_shape(self) -> tuple[int, int] | None:
    """Minimum height and width to decode at, in pixels; None for full size."""
    needed = {"resize": self.crop, "none": None}.get(self.fitting, self.resize)
    return None if needed is None else sides(needed)


def to_channels(image: Image.Image, channels: int) -> Image.Image:
  """The picture upright, in 8 bits, as gray, RGB or RGBA.

  Gray is the luma of ITU-R 601. A picture without transparency gets an alpha of 255.

  Raises:
    ValueError: as `to_rgb`; or if `channels` is not in `PICTURE_CHANNELS`.
  """
  if channels == 4:
    upright = _upright(image)
    return (upright if _is_transparent(upright) else _rgb(upright)).convert("RGBA")
  if channels not in PICTURE_CHANNELS:
    raise ValueError(f"pictures have {PICTURE_CHANNELS} channels, not {channels}")
  rgb = to_rgb(image)
  return rgb.convert("L") if channels == 1 else rgb


def to_rgb(image: Image.Image) -> Image.Image:
  """The picture upright, in 8-bit RGB.

  Applies the camera's orientation, composites transparency over white, scales 16-bit
  samples to 8 bits, and takes the first frame of an animation.

  Raises:
    ValueError: if the samples are floating point, negative or of more than 16 bits:
      files do not state their range.
  """
  return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
  image.load()
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # broken metadata, but intact pixels: leave the orientation
    return image


def _is_transparent(image: Image.Image) -> bool:
  modes = ("RGBA", "LA", "PA", "La", "RGBa")
  return "transparency" in image.info or image.mode in modes


def _rgb(upright: Image.Image) -> Image.Image:
  mode = upright.mode
  if mode == "F":
    raise ValueError("its samples are floating point, of unknown range")
  if mode == "I" or mode.startswith("I;16"):
    # Pillow's own conversion clips at 255, which turns most 16-bit pictures white.
    samples = np.asarray(upright).astype(np.int64)
    low, high = samples.min(), samples.max()
    if not 0 <= low <= high <= 65535:
      raise ValueError(
        f"its samples are from {low} to {high}, and not of 16 bits: save it with 8 bits"
      )
    eight_bits = ((samples + 128) // 257).astype(np.uint8)
    return Image.fromarray(eight_bits).convert("RGB")
  if _is_transparent(upright):
    layered = upright.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")
  return upright.convert("RGB")


def fit_array(
  image: UInt8[np.ndarray, "_ _ channels"], geometry: Geometry
) -> UInt8[np.ndarray, "height width channels"]:
  """Does the same as `fit` for an array of any number of channels."""
  if image.shape[2] == 3:
    return fit(Image.fromarray(np.ascontiguousarray(image)), geometry)
  planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(image, 2, 0)]
  fitted = [fit(Image.fromarray(plane), geometry) for plane in planes]
  return np.concatenate(fitted, axis=2)


def fit(
  image: Image.Image, geometry: Geometry
) -> UInt8[np.ndarray, "height width channels"]:
  """Resizes a picture and crops its center, as `geometry` specifies.

  A picture that already has the size of the crop is unchanged, unless
  `geometry.fitting` is `resize-crop`.

  Sizes are rounded as in torchvision: the longer side down, the corner of the crop to
  the nearest pixel, halves to even. If the longer side of a picture is more than
  `MAX_ASPECT` times the shorter, only the cropped region is resized. This bounds the
  memory and gives the same pixels up to rounding, because Pillow may resize columns
  before rows.

  Raises:
    ValueError: if the picture is not resized and is smaller than the crop.
    SizeMismatchError: if resizing is turned off and the picture has another size.
  """
  pixels = np.asarray(_fitted(image, geometry))
  return pixels if pixels.ndim == 3 else pixels[..., None]


def _fitted(image: Image.Image, geometry: Geometry) -> Image.Image:
  width, height = image.size
  rows, columns = geometry.shape
  interpolation = INTERPOLATIONS[geometry.interpolation]
  if (height, width) == (rows, columns) and geometry.fitting != "resize-crop":
    return image
  if geometry.fitting == "none":
    raise SizeMismatchError((height, width))
  if geometry.fitting == "resize":
    return image.resize((columns, rows), interpolation)
  if geometry.resize and geometry.squash:
    height, width = sides(geometry.resize)
  elif geometry.resize:
    height, width = _covering(height, width, sides(geometry.resize))
  elif height < rows or width < columns:
    crop = geometry.crop if isinstance(geometry.crop, int) else size_text(geometry.crop)
    raise ValueError(
      f"it has {width} x {height} pixels, fewer than the {crop} of a crop"
    )
  left = round((width - columns) / 2)
  top = round((height - rows) / 2)
  box = (left, top, left + columns, top + rows)
  if (width, height) == image.size:
    return image.crop(box)
  if geometry.squash or max(image.size) <= MAX_ASPECT * min(image.size):
    return image.resize((width, height), interpolation).crop(box)
  across, down = image.width / width, image.height / height
  kept = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
  return image.resize((columns, rows), interpolation, box=kept)


def _covering(height: int, width: int, least: tuple[int, int]) -> tuple[int, int]:
  """The smallest size of the same aspect ratio that covers `least`."""
  rows, columns = least
  if height * columns <= width * rows:
    return rows, width * rows // height
  return height * columns // width, columns
