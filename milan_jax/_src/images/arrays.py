"""Images that are already arrays, in memory or in a `.npy` or `.npz` file."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.files.npy_files import open_npy, read_npz
from milan_jax._src.images.fitted import other_size
from milan_jax._src.images.geometry import Geometry, OtherSizeError, fit_array
from milan_jax._src.images.sizes import Size, of_sides
from milan_jax._src.images.source import black

EXPECTED = (
  "uint8 images of shape (N, height, width, {channels}) or (N, {channels}, height, "
  "width)"
)
_CONVERSIONS = {
  "f": "if they are of 0 to 1, save (255 * x).clip(0, 255).round().astype(np.uint8)",
  "b": "save 255 * x.astype(np.uint8)",
  "u": "if they fill 16 bits, save (x // 257).astype(np.uint8)",
  "i": "if they are of 0 to 255, save x.astype(np.uint8)",
}


class ArrayImages:
  """Images from one array. An image's name is its number.

  Gray images are repeated for a network of colors; of colors, a network of gray gets
  the luma. Any other number of channels must be the network's.

  Args:
    images: uint8, `(N, height, width, channels)` or `(N, channels, height, width)`;
      gray ones may be `(N, height, width)`.
    geometry: what is done to each; None takes them as they are, in colors.
    origin: what to call the array in messages, such as its file.

  Raises:
    UserError: if the array's type or shape is another.
  """

  def __init__(
    self, images: np.ndarray, geometry: Geometry | None = None, origin: str = "images"
  ):
    channels = geometry.channels if geometry else 3
    expected = _expected(channels)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
      remedy = _CONVERSIONS.get(images.dtype.kind, "") if images.ndim == 4 else ""
      raise UserError(
        f"{origin}: expected {expected}, found {images.dtype} of shape {images.shape}"
        f"{': ' if remedy else ''}{remedy}."
      )
    if not images.size:
      raise UserError(f"{origin} holds no image: its shape is {images.shape}.")
    self._images = _channels_last(images, channels, origin)
    self._origin = origin
    self._geometry = geometry or Geometry(None, of_sides(*self.own_shape(0)))

  def __len__(self) -> int:
    return len(self._images)

  @property
  def size(self) -> Size:
    """Size of every image, in pixels."""
    return self._geometry.crop

  @property
  def blank(self) -> UInt8[np.ndarray, "height width channels"]:
    """A black image."""
    return black(self.size, self._geometry.channels)

  @property
  def geometry(self) -> Geometry:
    """What is done to each image."""
    return self._geometry

  def own_shape(self, index: int) -> tuple[int, int]:
    """Height and width in the array, in pixels."""
    del index
    height, width = self._images.shape[1:3]
    return height, width

  def name(self, index: int) -> str:
    """The image's number."""
    return str(index)

  def load(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
    """The image, resized and cropped as far as its size is another.

    Raises:
      UserError: if its size is another, and nothing is to be resized.
    """
    image = _with_channels(self._images[index], self._geometry.channels)
    try:
      return fit_array(image, self._geometry)
    except OtherSizeError as error:
      raise other_size(
        f"{self._origin}: image {index}", error.found, self._geometry
      ) from error


def _expected(channels: int) -> str:
  gray = ", or gray (N, height, width)" if channels in (1, 3) else ""
  return EXPECTED.format(channels=channels) + gray


def _channels_last(images: np.ndarray, channels: int, origin: str) -> np.ndarray:
  """Images as `(N, height, width, own channels)`, which suit a number of channels."""
  shape, suited = images.shape, (channels, 4 - channels) if channels in (1, 3) else ()
  if images.ndim == 3:
    if shape[2] <= 4:
      raise UserError(
        f"{origin}: the shape {shape} is that of one image: expected "
        f"{_expected(channels)}; images[None] makes an array of one."
      )
    images = images[..., None]
    shape = images.shape
  for own in suited or (channels,):
    if shape[3] == own:
      return images
    if shape[1] == own:
      return images.transpose(0, 2, 3, 1)
  raise UserError(
    f"{origin}: the images have {min(shape[1], shape[3])} channels, by their shape "
    f"{shape}, and the network takes {channels}: expected {_expected(channels)}."
  )


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
  """Gray for colors, and colors for gray."""
  own = image.shape[2]
  if own == 1 and channels == 3:
    return np.repeat(image, 3, axis=2)
  if own == 3 and channels == 1:
    colors = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(colors.convert("L"))[..., None]
  return np.ascontiguousarray(image)


class _MappedImages(ArrayImages):
  """Images that stay in their file: to another process goes its name, not the array."""

  def __init__(self, path: pathlib.Path, geometry: Geometry | None):
    super().__init__(open_npy(path, remedy="save it again"), geometry, str(path))
    self._path = path

  def __reduce__(self) -> tuple[Any, ...]:
    return _MappedImages, (self._path, self._geometry)


def open_array_images(
  path: str | pathlib.Path, geometry: Geometry | None = None
) -> ArrayImages:
  """Images from a `.npy` file (memory-mapped) or an `.npz` file.

  An `.npz` file holds one array, or names the one to take `images`.

  Raises:
    UserError: if there is no such file, it is not a numpy file, or its array has
      another type or shape.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(
      f"No file {path}: expected a .npy or .npz file of "
      f"{_expected(geometry.channels if geometry else 3)}."
    )
  if path.suffix == ".npz":
    return ArrayImages(_images_of(read_npz(path), path), geometry, origin=str(path))
  return _MappedImages(path, geometry)


def _images_of(archive: Mapping[str, np.ndarray], path: pathlib.Path) -> np.ndarray:
  names = list(archive)
  name = names[0] if len(names) == 1 else "images"
  if name not in names:
    raise UserError(
      f"{path} holds the arrays {', '.join(names)}: name the images 'images'."
    )
  return archive[name]
