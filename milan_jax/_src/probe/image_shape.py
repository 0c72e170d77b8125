"""What the shape of a model's input says of the images that it takes."""

import dataclasses
from collections.abc import Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides, size_from_sides

# More channels than this are hardly those of images, unless the user sets it.
_MOST = 32


@dataclasses.dataclass(frozen=True, slots=True)
class ImageShape:
  """The images that a model takes.

  Attributes:
    axes: `NCHW` or `NHWC`.
    channels: of an image.
    height: in pixels; None: any.
    width: in pixels; None: any.
  """

  axes: str
  channels: int
  height: int | None
  width: int | None

  def size(self, wanted: Size | None, model: str) -> Size:
    """The size of its images: its own, or what is wanted, or 224.

    Args:
      wanted: by the user; None for the model's own.
      model: what to call it in messages, such as `program`.

    Raises:
      UserError: if it takes another size than is wanted.
    """
    height, width = sides(wanted) if wanted else (self.height, self.width)
    height, width = height or width or 224, width or height or 224
    own = (self.height or height, self.width or width)
    if own != (height, width):
      taken = " x ".join(str(side or "any") for side in (self.height, self.width))
      raise UserError(
        f"The {model} takes images of {taken} pixels: expected {height} x {width}. "
        "Export it for the size that you want, or for any."
      )
    return size_from_sides(height, width)


def read_image_shape(
  shape: Sequence[int | None], channels: int | None = None
) -> ImageShape | None:
  """Reads the shape of an input; None if it is not that of images.

  Args:
    shape: batch, then channels before or after height and width; None: any.
    channels: of its images, if the user says it.
  """
  if len(shape) != 4:
    return None
  first, last = shape[1], shape[3]
  if first == 3 or last == 3:
    found = ("NCHW", 3) if first == 3 else ("NHWC", 3)
  elif channels and channels in (first, last):
    found = ("NCHW", channels) if first == channels else ("NHWC", channels)
  elif first is None and (last is None or last > _MOST):
    found = ("NCHW", channels or 3)
  else:
    fewest = min(side for side in (first, last) if side is not None)
    if fewest > _MOST:
      return None
    found = ("NCHW", fewest) if first == fewest else ("NHWC", fewest)
  axes, number = found
  height, width = shape[2:] if axes == "NCHW" else shape[1:3]
  return ImageShape(axes, number, height, width)
