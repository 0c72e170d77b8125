"""From any picture file's pixels to the square that a network sees.

Pixels are uint8 RGB, `height x width x 3`, 0 to 255.
"""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

INTERPOLATIONS = {
  "bilinear": Image.Resampling.BILINEAR,
  "bicubic": Image.Resampling.BICUBIC,
}
# Longer over shorter side of what is resized whole. Photographs stay far below.
MAX_ASPECT = 16
# What is done to an image, where the user says it.
FITS = ("resize-crop", "resize", "none")


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
  """How a picture becomes a square: shorter side to `resize`, then the centre.

  Attributes:
    resize: length of the shorter side after resizing, in pixels; None leaves it.
    crop: side of the square cut from the centre, in pixels.
    interpolation: `bilinear` or `bicubic`, both antialiased.
    squash: resize both sides to `resize`, whatever their proportions.
    fitting: which pictures this is done to: empty for all but those that are squares of
      `crop` pixels already, which are taken as they are; `resize-crop` for all;
      `resize` has all resized to the square, whatever their proportions; `none` takes
      all as they are, and no other size than the square.
  """

  resize: int | None
  crop: int
  interpolation: str = "bicubic"
  squash: bool = False
  fitting: str = ""

  def __post_init__(self):
    if not 0 < self.crop <= (self.resize or self.crop):
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
    return self.crop, self.crop

  @property
  def least(self) -> int | None:
    """Least side, in pixels, that a picture is needed at; None if all of it is."""
    return {"resize": self.crop, "none": None}.get(self.fitting, self.resize)


def to_rgb(image: Image.Image) -> Image.Image:
  """The picture upright, in 8-bit RGB.

  The camera's orientation is applied, transparency is laid over white, samples of 16
  bits are scaled to 8, and of an animation the first frame is taken.

  Raises:
    ValueError: if the samples are floating point, whose range no file says.
  """
  image.load()
  try:
    upright = ImageOps.exif_transpose(image)
  except Exception:  # broken metadata around pixels that are whole: as they come
    upright = image
  mode = upright.mode
  if mode == "F":
    raise ValueError("its samples are floating point, of unknown range")
  if mode == "I" or mode.startswith("I;16"):
    # Pillow's own conversion clips at 255: nearly every 16-bit picture turns white.
    samples = np.asarray(upright).astype(np.int64).clip(0, 65535)
    eight_bits = ((samples + 128) // 257).astype(np.uint8)
    return Image.fromarray(eight_bits).convert("RGB")
  if "transparency" in upright.info or mode in ("RGBA", "LA", "PA", "La", "RGBa"):
    layered = upright.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")
  return upright.convert("RGB")


def fit(image: Image.Image, geometry: Geometry) -> UInt8[np.ndarray, "size size 3"]:
  """Resizes the shorter side of an RGB picture, or both, then cuts the centre.

  A picture that has the size already is not touched, unless `geometry.fitting` says so.

  Sizes are rounded as torchvision rounds them: the longer side down, the corner of the
  crop to the nearest pixel, halves to the even one. Of a picture whose longer side is
  over `MAX_ASPECT` times the shorter, only what is kept is resized, which bounds the
  memory and gives the same pixels, but for rounding: Pillow may turn from rows first to
  columns first.

  Raises:
    ValueError: if the picture is not resized and is smaller than the crop.
    OtherSizeError: if it is to be taken as it is and has another size.
  """
  width, height = image.size
  interpolation = INTERPOLATIONS[geometry.interpolation]
  if (height, width) == geometry.shape and geometry.fitting != "resize-crop":
    return np.asarray(image)
  if geometry.fitting == "none":
    raise OtherSizeError((height, width))
  if geometry.fitting == "resize":
    return np.asarray(image.resize((geometry.crop,) * 2, interpolation))
  shorter = min(width, height)
  if geometry.resize and geometry.squash:
    width = height = geometry.resize
  elif geometry.resize:
    width, height = (side * geometry.resize // shorter for side in (width, height))
  elif shorter < geometry.crop:
    raise ValueError(
      f"it has {width} x {height} pixels, fewer than the {geometry.crop} of a crop"
    )
  left = round((width - geometry.crop) / 2)
  top = round((height - geometry.crop) / 2)
  box = (left, top, left + geometry.crop, top + geometry.crop)
  if (width, height) == image.size:
    return np.asarray(image.crop(box))
  if geometry.squash or max(image.size) <= MAX_ASPECT * shorter:
    return np.asarray(image.resize((width, height), interpolation).crop(box))
  across, down = image.width / width, image.height / height
  kept = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
  return np.asarray(image.resize((geometry.crop,) * 2, interpolation, box=kept))
