"""From any picture file's pixels to the size that a network sees.

Pixels are uint8 RGB, `height x width x 3`, 0 to 255.
"""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from milan_jax._src.images.sizes import Size, by, sides

INTERPOLATIONS = {
  "bilinear": Image.Resampling.BILINEAR,
  "bicubic": Image.Resampling.BICUBIC,
}
# Longer over shorter side of what is resized whole. Photographs stay far below.
MAX_ASPECT = 16
# What is done to an image, where the user says it.
FITS = ("resize-crop", "resize", "none")
# Channels that a picture can be had with; arrays may have any number.
PICTURE_CHANNELS = (1, 3, 4)


class OtherSizeError(Exception):
  """A picture has another size than the one that alone is taken.

  Attributes:
    found: its height and width, in pixels.
  """

  def __init__(self, found: tuple[int, int]):
    super().__init__(found)
    self.found = found


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
  """How a picture gets the network's size: shorter side to `resize`, then the center.

  Attributes:
    resize: length of the shorter side after resizing, in pixels, or the height and
      width that both must have at least, one of them exactly; None leaves it.
    crop: size of what is cut from the center, in pixels; a number is a square's side.
    interpolation: `bilinear` or `bicubic`, both antialiased.
    squash: resize both sides to `resize`, whatever their proportions.
    fitting: which pictures this is done to: empty for all but those that have the size
      of the crop already, which are taken as they are; `resize-crop` for all; `resize`
      has all resized to that size, whatever their proportions; `none` takes all as they
      are, and no other size.
    channels: 3 for colors, 1 for gray, 4 for colors and opacity; others of arrays.
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
    """Height and width of what comes out, in pixels."""
    return sides(self.crop)

  @property
  def least(self) -> tuple[int, int] | None:
    """Least height and width, in pixels, needed of a picture; None for all of it."""
    needed = {"resize": self.crop, "none": None}.get(self.fitting, self.resize)
    return None if needed is None else sides(needed)


def to_channels(image: Image.Image, channels: int) -> Image.Image:
  """The picture upright, in 8 bits, as gray, in RGB or with its opacity.

  Gray is the luma of ITU-R 601. A picture that is not transparent is opaque, 255.

  Raises:
    ValueError: as `to_rgb`; or if pictures have no such number of channels.
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

  The camera's orientation is applied, transparency is laid over white, samples of 16
  bits are scaled to 8, and of an animation the first frame is taken.

  Raises:
    ValueError: if the samples are floating point, whose range no file says.
  """
  return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
  image.load()
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # broken metadata around pixels that are whole: as they come
    return image


def _is_transparent(image: Image.Image) -> bool:
  modes = ("RGBA", "LA", "PA", "La", "RGBa")
  return "transparency" in image.info or image.mode in modes


def _rgb(upright: Image.Image) -> Image.Image:
  mode = upright.mode
  if mode == "F":
    raise ValueError("its samples are floating point, of unknown range")
  if mode == "I" or mode.startswith("I;16"):
    # Pillow's own conversion clips at 255: nearly every 16-bit picture turns white.
    samples = np.asarray(upright).astype(np.int64).clip(0, 65535)
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
  """As `fit`, of an array of any number of channels."""
  if image.shape[2] == 3:
    return fit(Image.fromarray(np.ascontiguousarray(image)), geometry)
  planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(image, 2, 0)]
  fitted = [fit(Image.fromarray(plane), geometry) for plane in planes]
  return np.concatenate(fitted, axis=2)


def fit(
  image: Image.Image, geometry: Geometry
) -> UInt8[np.ndarray, "height width channels"]:
  """Resizes the shorter side of a picture, or both, then cuts the center.

  A picture that has the size already is unchanged, unless `geometry.fitting` is set.

  Sizes are rounded as torchvision rounds them: the longer side down, the corner of the
  crop to the nearest pixel, halves to the even one. Of a picture whose longer side is
  over `MAX_ASPECT` times the shorter, only what is kept is resized, which bounds the
  memory and gives the same pixels, but for rounding: Pillow may turn from rows first to
  columns first.

  Raises:
    ValueError: if the picture is not resized and is smaller than the crop.
    OtherSizeError: if it is to be taken as it is and has another size.
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
    raise OtherSizeError((height, width))
  if geometry.fitting == "resize":
    return image.resize((columns, rows), interpolation)
  if geometry.resize and geometry.squash:
    height, width = sides(geometry.resize)
  elif geometry.resize:
    height, width = _covering(height, width, sides(geometry.resize))
  elif height < rows or width < columns:
    crop = geometry.crop if isinstance(geometry.crop, int) else by(geometry.crop)
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
  """The smallest size of the same proportions that covers another."""
  rows, columns = least
  if height * columns <= width * rows:
    return rows, width * rows // height
  return height * columns // width, columns
