"""Images that are already arrays, in memory or in a `.npy` or `.npz` file."""

import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from milan_jax.errors import UserError
from milan_jax.images.fitted import other_size
from milan_jax.images.geometry import Geometry, OtherSizeError, fit
from milan_jax.images.source import black

EXPECTED = "uint8 images of shape (N, height, width, 3) or (N, 3, height, width)"


class ArrayImages:
  """Images from one array. An image's name is its number.

  Args:
    images: uint8, `(N, height, width, 3)` or `(N, 3, height, width)`.
    geometry: how each becomes a square; None takes them as they are, if they are
      squares.
    origin: what to call the array in messages, such as its file.

  Raises:
    UserError: if the array's type or shape is another.
  """

  def __init__(
    self, images: np.ndarray, geometry: Geometry | None = None, origin: str = "images"
  ):
    if images.ndim == 4 and images.shape[3] != 3 and images.shape[1] == 3:
      images = images.transpose(0, 2, 3, 1)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
      raise UserError(
        f"{origin}: expected {EXPECTED}, found {images.dtype} of shape {images.shape}."
      )
    if not images.size:
      raise UserError(f"{origin} holds no image: its shape is {images.shape}.")
    if geometry is None and images.shape[1] != images.shape[2]:
      raise UserError(
        f"{origin}: expected square images, found shape {images.shape}: "
        "crop them first."
      )
    self._images = images
    self._origin = origin
    shape = images.shape[1:3]
    self._geometry = geometry or Geometry(None, shape[0])

  def __len__(self) -> int:
    return len(self._images)

  @property
  def size(self) -> int:
    """Side of every image, in pixels."""
    return self._geometry.crop

  @property
  def blank(self) -> UInt8[np.ndarray, "size size 3"]:
    """A black image."""
    return black(self.size)

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

  def load(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
    """The image, resized and cropped as far as its size is another.

    Raises:
      UserError: if its size is another, and nothing is to be resized.
    """
    image = np.ascontiguousarray(self._images[index])
    try:
      return fit(Image.fromarray(image), self._geometry)
    except OtherSizeError as error:
      raise other_size(
        f"{self._origin}: image {index}", error.found, self._geometry
      ) from error


class _MappedImages(ArrayImages):
  """Images that stay in their file: to another process goes its name, not the array."""

  def __init__(self, path: pathlib.Path, geometry: Geometry | None):
    super().__init__(np.lib.format.open_memmap(path, mode="r"), geometry, str(path))
    self._path = path

  def __reduce__(self):
    return _MappedImages, (self._path, self._geometry)


def open_array_images(
  path: str | pathlib.Path, geometry: Geometry | None = None
) -> ArrayImages:
  """Images from a `.npy` file (memory-mapped) or an `.npz` file.

  An `.npz` file holds one array, or names the one to take `images`.

  Raises:
    UserError: if there is no such file, it is no numpy file, or its array is of another
      type or shape.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"No file {path}: expected a .npy or .npz file of {EXPECTED}.")
  try:
    if path.suffix == ".npz":
      # Opened here, since numpy leaves a file open that is no archive.
      with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        images = _images_of(archive, path)
    else:
      return _MappedImages(path, geometry)
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f"{path} is no readable .npy or .npz file ({error}): expected {EXPECTED}."
    ) from error
  return ArrayImages(images, geometry, origin=str(path))


def _images_of(archive: Mapping[str, np.ndarray], path: pathlib.Path) -> np.ndarray:
  names = list(archive)
  name = names[0] if len(names) == 1 else "images"
  if name not in names:
    raise UserError(
      f"{path} holds the arrays {', '.join(names)}: name the images 'images'."
    )
  return archive[name]
