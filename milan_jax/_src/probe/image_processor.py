"""Converts an image processor of transformers to `Preprocessing`."""

from typing import Any

import numpy as np
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry, fit
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import Size, sides, size_from_sides

_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers
# ConvNeXt's processor crops below this size, and from it on resizes without cropping
# and ignores the aspect ratio.
_CONVNEXT_SQUASHES = 384
# LeViT's processor resizes to a size that is larger by this factor than the option.
_LEVIT_FACTOR = 256 / 224
# Levels that pixels may differ by, of 255: libraries round differently.
_TOLERANCE = 4


def read_preprocessing(processor: Any, image_size: Size | None) -> Preprocessing:
  """How an image processor of transformers prepares an image.

  Processors that keep a non-square image whole are approximated by a center crop. The
  processor itself runs on two pictures, and its pixels must be the same: some do more
  than their common options state.

  Args:
    processor: an image processor, such as `AutoImageProcessor` returns.
    image_size: size that the model was made for, in pixels; used if the processor sets
      none.

  Raises:
    UserError: if it does something that `Preprocessing` cannot express.
  """
  try:
    how = _read(processor, image_size)
  except (AttributeError, LookupError, TypeError) as error:
    # It lacks a common option, or has another kind of value.
    raise _cannot_follow(processor, f"{type(error).__name__}: {error}") from error
  _check_pixels(processor, how)
  return how


def _read(processor: Any, image_size: Size | None) -> Preprocessing:
  resize, squash = _resizing(processor)
  crop = resize or image_size
  if _is_convnext(processor) and isinstance(resize, int) and not squash:
    crop, resize = resize, int(resize / processor.crop_pct)
  elif getattr(processor, "crop_pct", None) and not squash:
    raise _cannot_follow(processor, f"crop_pct={processor.crop_pct}")
  elif getattr(processor, "do_center_crop", None):
    crop = _size(processor, "crop_size")
  if crop is None or any(np.greater(sides(crop), sides(resize or crop))):
    raise _cannot_follow(processor, f"a crop of {crop} from a size of {resize}")
  resample = _BILINEAR if processor.resample is None else int(processor.resample)
  if resize and resample not in (_BILINEAR, _BICUBIC):
    raise _cannot_follow(processor, f"resample={resample}")
  # Pixels are 0 to 255 here; the processor often rescales them to 0 to 1.
  scale = processor.rescale_factor if processor.do_rescale else 1.0
  mean: tuple[float, ...] = (0.0, 0.0, 0.0)
  std: tuple[float, ...] = (1.0, 1.0, 1.0)
  if processor.do_normalize:
    mean, std = _colors(processor.image_mean), _colors(processor.image_std)
  return Preprocessing(
    resize=resize,
    crop=crop,
    interpolation="bilinear" if resample == _BILINEAR else "bicubic",
    mean=tuple(value / scale for value in mean),
    std=tuple(value / scale for value in std),
    squash=squash,
  )


def _resizing(processor: Any) -> tuple[Size | None, bool]:
  """Shorter side or size after resizing, in pixels, and whether both sides are set."""
  if not processor.do_resize:
    return None, False
  shortest = processor.size.shortest_edge
  if shortest is not None and "Levit" in type(processor).__name__:
    shortest = int(shortest * _LEVIT_FACTOR)
  if shortest is None:
    return _size(processor, "size"), True
  if processor.size.longest_edge is not None:
    raise _cannot_follow(processor, f"size={dict(processor.size)}")
  return shortest, _is_convnext(processor) and shortest >= _CONVNEXT_SQUASHES


def _is_convnext(processor: Any) -> bool:
  return "ConvNext" in type(processor).__name__


def _check_pixels(processor: Any, how: Preprocessing) -> None:
  """Compares the processor's pixels of a square and an oblong picture with ours.

  Raises:
    UserError: if they differ.
  """
  geometry = Geometry(how.resize, how.crop, how.interpolation, squash=how.squash)
  side = max(*sides(how.resize or how.crop), *sides(how.crop)) * 5 // 4 + 1
  for width in (side, side * 4 // 3):
    picture = Image.fromarray(_gradients(side, width))
    ours = (fit(picture, geometry) - np.array(how.mean)) / np.array(how.std)
    try:
      found = processor(images=picture, return_tensors="pt")["pixel_values"][0]
      pixels = np.moveaxis(np.asarray(found, np.float64), 0, -1)
    except Exception as error:  # of many kinds: it may need other inputs
      raise _cannot_follow(
        processor, f"it fails on a picture, {type(error).__name__}: {error}"
      ) from error
    if pixels.shape != ours.shape:
      if width == side:
        raise _cannot_follow(processor, f"an array of shape {pixels.shape}")
      continue  # it keeps oblong pictures whole
    difference = (np.abs(pixels - ours) * np.array(how.std)).max()
    # The crop may be off by a pixel.
    pixel = 255 / min(sides(how.resize or how.crop))
    if not difference <= _TOLERANCE + pixel:
      raise _cannot_follow(
        processor, f"its pixels differ by up to {difference:.0f} of 255 levels"
      )


def _gradients(height: int, width: int) -> np.ndarray:
  """A picture whose channels differ, and whose pixels hardly differ from the next."""
  rows, columns = np.mgrid[20 : 235 : height * 1j, 20 : 235 : width * 1j]
  return np.stack([rows, columns, 255 - rows], axis=2).round().astype(np.uint8)


def _size(processor: Any, attribute: str) -> Size:
  size = getattr(processor, attribute)
  if not size.height or not size.width:
    raise _cannot_follow(processor, f"{attribute}={dict(size)}")
  return size_from_sides(size.height, size.width)


def _colors(values: Any) -> tuple[float, ...]:
  if not isinstance(values, list | tuple):
    return values, values, values
  return tuple(values)


def _cannot_follow(processor: Any, what: str) -> UserError:
  return UserError(
    f"Images cannot be prepared as {type(processor).__name__} does ({what}): expected "
    "a resize, bilinear or bicubic, a crop of the center, and a mean and std per "
    "channel. Wrap the model in a torch module and give it as package.module:name."
  )
