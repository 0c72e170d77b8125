"""Infers the images that a model takes from the shape of its input."""

import dataclasses
from collections.abc import Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides, size_from_sides

# Larger axes are not taken for image channels unless the user sets their number.
_MAX_CHANNELS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class ImageShape:
  """The images that a model takes.

  Attributes:
    axes: `NCHW` or `NHWC`.
    channels: number of channels of an image.
    height: in pixels; None means any.
    width: in pixels; None means any.
  """

  axes: str
  channels: int
  height: int | None
  width: int | None

  def size(self, requested: Size | None, model: str) -> Size:
    """The size of its images: its fixed size, or the requested size, or 224.

    Args:
      requested: the size set by the user; None for the model's own.
      model: a word for the model in messages, such as `program`.

    Raises:
      UserError: if the requested size is not its fixed size.
    """
    height, width = sides(requested) if requested else (self.height, self.width)
    height, width = height or width or 224, width or height or 224
    own = (self.height or height, self.width or width)
    if own != (height, width):
      taken = " x ".join(str(side or "any") for side in (self.height, self.width))
      raise UserError(
        f"The {model} takes images of {taken} pixels: expected {height} x {width}. "
        "Export it for the size that you want, or for any size."
      )
    return size_from_sides(height, width)


def read_image_shape(
  shape: Sequence[int | None], channels: int | None = None
) -> ImageShape | None:
  """Infers images from the shape of an input; None if it is not a shape of images.

  Args:
    shape: batch, then channels before or after height and width; None means any.
    channels: number of channels, if the user sets it.
  """
  if len(shape) != 4:
    return None
  first, last = shape[1], shape[3]
  if first == 3 or last == 3:
    found = ("NCHW", 3) if first == 3 else ("NHWC", 3)
  elif channels and channels in (first, last):
    found = ("NCHW", channels) if first == channels else ("NHWC", channels)
  elif first is None and (last is None or last > _MAX_CHANNELS):
    found = ("NCHW", channels or 3)
  else:
    smaller = min(side for side in (first, last) if side is not None)
    if smaller > _MAX_CHANNELS:
      return None
    found = ("NCHW", smaller) if first == smaller else ("NHWC", smaller)
  axes, number = found
  height, width = shape[2:] if axes == "NCHW" else shape[1:3]
  return ImageShape(axes, number, height, width)
