"""Converts an image processor of transformers to `Preprocessing`."""

from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import Size, sides, size_from_sides

_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers
# ConvNeXt's processor crops below this size, and from it on resizes without cropping
# and ignores the aspect ratio.
_CONVNEXT_SQUASHES = 384


def read_preprocessing(processor: Any, image_size: Size | None) -> Preprocessing:
  """How an image processor of transformers prepares an image.

  Processors that keep a non-square image whole are approximated by a center crop.

  Args:
    processor: an image processor, such as `AutoImageProcessor` returns.
    image_size: size that the model was made for, in pixels; used if the processor sets
      none.

  Raises:
    UserError: if it does something that `Preprocessing` cannot express.
  """
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
  if shortest is None:
    return _size(processor, "size"), True
  if processor.size.longest_edge is not None:
    raise _cannot_follow(processor, f"size={dict(processor.size)}")
  return shortest, _is_convnext(processor) and shortest >= _CONVNEXT_SQUASHES


def _is_convnext(processor: Any) -> bool:
  return "ConvNext" in type(processor).__name__


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
    "a resize, bilinear or bicubic, and a crop of the center. Wrap the model in a "
    "torch module and give it as package.module:name."
  )
