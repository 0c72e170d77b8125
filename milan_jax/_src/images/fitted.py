"""Code shared by sources whose images a `Geometry` resizes to one size."""

import pathlib
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry, SizeMismatchError
from milan_jax._src.images.picture_files import load_picture, picture_shape
from milan_jax._src.images.sizes import Size, size_text
from milan_jax._src.images.source import ImageSource, UnreadableImageError, black

# Images sampled to report how they are resized; only a picture's header is read.
_SAMPLE = 500


@runtime_checkable
class FittedSource(ImageSource, Protocol):
  """A source whose images a geometry resizes to one size."""

  @property
  def geometry(self) -> Geometry:
    """How each image is resized and cropped."""

  def original_shape(self, index: int) -> tuple[int, int] | None:
    """Height and width of an image before resizing, in pixels; None if unreadable."""


class FittedPictures:
  """Pictures from files, resized and cropped as a `Geometry` specifies.

  A subclass sets `_geometry` and implements `name` and `content`.
  """

  _geometry: Geometry

  @property
  def geometry(self) -> Geometry:
    """How each picture is resized and cropped."""
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
    """A name by which a person recognizes the picture."""
    raise NotImplementedError

  def content(self, index: int) -> pathlib.Path | bytes:
    """A picture's file or its bytes; may raise UnreadableImageError."""
    raise NotImplementedError

  def original_shape(self, index: int) -> tuple[int, int] | None:
    """Height and width in the file, in pixels; None if the picture is unreadable."""
    try:
      return picture_shape(self.content(index))
    except UnreadableImageError:
      return None

  def load(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
    """The picture, resized and cropped.

    Raises:
      UnreadableImageError: if it cannot be read.
      UserError: if its size differs and resizing is turned off.
    """
    try:
      return load_picture(self.content(index), self._geometry)
    except SizeMismatchError as error:
      raise size_mismatch(self.name(index), error.found, self._geometry) from error


def size_mismatch(name: str, found: tuple[int, int], geometry: Geometry) -> UserError:
  """The error for an image of another size where resizing is turned off."""
  return UserError(
    f"{name} has {size_text(found)} pixels, but --fit=none accepts only images of "
    f"{size_text(geometry.crop)}: resize them, or omit --fit."
  )


def fitting_message(source: FittedSource) -> str:
  """A message for the user about how a source's images are resized.

  Raises:
    UserError: if resizing is turned off and a sampled image has another size.
  """
  geometry, total = source.geometry, len(source)
  step = -(-total // _SAMPLE)
  shapes = {index: source.original_shape(index) for index in range(0, total, step)}
  fits = sum(shape == geometry.shape for shape in shapes.values())
  known = [index for index, shape in shapes.items() if shape]
  others = [index for index in known if shapes[index] != geometry.shape]
  size = size_text(geometry.crop)
  if geometry.fitting == "none" and others:
    found = shapes[others[0]]
    assert found is not None
    raise size_mismatch(source.name(others[0]), found, geometry)
  some = f" of {len(shapes):,} sampled" if step > 1 else ""
  if geometry.fitting == "none" or (known and not others and not geometry.fitting):
    if some:
      return f"images of {size} pixels are not resized: {fits:,}{some}"
    return f"{fits:,} images of {size} pixels are not resized"
  done = _fitting_text(geometry)
  if geometry.fitting or not fits:
    return f"images are {done}"
  return f"images are {done}, except {fits:,}{some}, which already have that size"


def _fitting_text(geometry: Geometry) -> str:
  size = size_text(geometry.crop)
  if geometry.fitting == "resize":
    return f"resized to {size} pixels, ignoring their aspect ratio"
  if geometry.resize and geometry.squash:
    return f"resized to {size_text(geometry.resize)} and cropped to {size} pixels"
  if geometry.resize:
    whole = isinstance(geometry.resize, int)
    least = geometry.resize if whole else f"at least {size_text(geometry.resize)}"
    return f"resized to {least} pixels and cropped to {size}"
  return f"cropped to {size} pixels"
