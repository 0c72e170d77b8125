"""What sources share whose images a `Geometry` brings to one size."""

import pathlib
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry, OtherSizeError
from milan_jax._src.images.picture_files import load_picture, picture_shape
from milan_jax._src.images.sizes import Size, by
from milan_jax._src.images.source import ImageSource, UnreadableImageError, black

# Images looked at to say what is done to them; of a picture, only its head is read.
_SAMPLE = 500


@runtime_checkable
class Fitted(ImageSource, Protocol):
  """A source whose images a geometry brings to one size."""

  @property
  def geometry(self) -> Geometry:
    """What is done to each image."""

  def own_shape(self, index: int) -> tuple[int, int] | None:
    """Height and width of an image before that, in pixels; None if unreadable."""


class FittedPictures:
  """Pictures of files, brought to the size that a geometry says.

  A source sets the geometry, and says where each picture's file is.
  """

  _geometry: Geometry

  @property
  def geometry(self) -> Geometry:
    """What is done to each picture."""
    return self._geometry

  @property
  def size(self) -> Size:
    """Size of every image, in pixels."""
    return self._geometry.crop

  @property
  def blank(self) -> UInt8[np.ndarray, "height width channels"]:
    """A black image."""
    return black(self.size, self._geometry.channels)

  def name(self, index: int) -> str:
    """A name that a person recognizes the picture by."""
    raise NotImplementedError

  def content(self, index: int) -> pathlib.Path | bytes:
    """A picture's file, or the bytes of it; may raise UnreadableImageError."""
    raise NotImplementedError

  def own_shape(self, index: int) -> tuple[int, int] | None:
    """Height and width in the file, in pixels; None of a picture that is unreadable."""
    try:
      return picture_shape(self.content(index))
    except UnreadableImageError:
      return None

  def load(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
    """The picture, resized and cropped.

    Raises:
      UnreadableImageError: if it cannot be read.
      UserError: if its size is another, and nothing is to be resized.
    """
    try:
      return load_picture(self.content(index), self._geometry)
    except OtherSizeError as error:
      raise other_size(self.name(index), error.found, self._geometry) from error


def other_size(name: str, found: tuple[int, int], geometry: Geometry) -> UserError:
  """The error of an image that has another size than the one that alone is taken."""
  return UserError(
    f"{name} has {by(found)} pixels, and --fit=none takes images of "
    f"{by(geometry.crop)} alone: resize them, or leave --fit out."
  )


def fitting_line(source: Fitted) -> str:
  """What is done to the images of a source, as a sentence for the user.

  Raises:
    UserError: if nothing is to be resized, and one that is looked at has another size.
  """
  geometry, total = source.geometry, len(source)
  step = -(-total // _SAMPLE)
  shapes = {index: source.own_shape(index) for index in range(0, total, step)}
  fits = sum(shape == geometry.shape for shape in shapes.values())
  known = [index for index, shape in shapes.items() if shape]
  others = [index for index in known if shapes[index] != geometry.shape]
  size = by(geometry.crop)
  if geometry.fitting == "none" and others:
    found = shapes[others[0]]
    assert found is not None
    raise other_size(source.name(others[0]), found, geometry)
  some = f" of {len(shapes):,} looked at" if step > 1 else ""
  if geometry.fitting == "none" or (known and not others and not geometry.fitting):
    if some:
      return f"images of {size} pixels are taken as they are: {fits:,}{some}"
    return f"{fits:,} images of {size} pixels are taken as they are"
  done = _done(geometry)
  if geometry.fitting or not fits:
    return f"images are {done}"
  return f"images are {done}, but for {fits:,}{some}, which have that size already"


def _done(geometry: Geometry) -> str:
  size = by(geometry.crop)
  if geometry.fitting == "resize":
    return f"resized to {size} pixels, whatever their proportions"
  if geometry.resize and geometry.squash:
    return f"resized to {by(geometry.resize)} and cut to {size} pixels"
  if geometry.resize:
    whole = isinstance(geometry.resize, int)
    least = geometry.resize if whole else f"at least {by(geometry.resize)}"
    return f"resized to {least} pixels and cut to {size}"
  return f"cut to {size} pixels"
