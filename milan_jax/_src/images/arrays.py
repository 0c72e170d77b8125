"""Images that are already arrays, in memory or in a `.npy` or `.npz` file."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.files.npy_files import open_npy, read_npz
from milan_jax._src.images.fitted import size_mismatch
from milan_jax._src.images.geometry import Geometry, SizeMismatchError, fit_array
from milan_jax._src.images.sizes import Size, size_from_sides
from milan_jax._src.images.source import black

EXPECTED = (
  "uint8 images of shape (N, height, width, {channels}) or (N, {channels}, height, "
  "width)"
)
_CONVERSIONS = {
  "f": "if they are in [0, 1], save (255 * x).clip(0, 255).round().astype(np.uint8)",
  "b": "save 255 * x.astype(np.uint8)",
  "u": "if they use all 16 bits, save (x // 257).astype(np.uint8)",
  "i": "if they are in [0, 255], save x.astype(np.uint8)",
}


class ArrayImages:
  """Images from one array. An image's name is its index.

  Gray images are repeated over the three channels of an RGB network; RGB images are
  converted to luma for a grayscale network. Any other number of channels must equal the
  network's.

  Args:
    images: uint8, `(N, height, width, channels)` or `(N, channels, height, width)`;
      gray ones may be `(N, height, width)`.
    geometry: how each image is resized and cropped; None leaves RGB images unchanged.
    origin: the array's name in messages, such as its file.

  Raises:
    UserError: if the array has another dtype or shape.
  """

  def __init__(
    self, images: np.ndarray, geometry: Geometry | None = None, origin: str = "images"
  ):
    channels = geometry.channels if geometry else 3
    expected = _expected(channels)
    if isinstance(images, np.ma.MaskedArray):
      raise UserError(
        f"{origin}: expected an array without a mask; found a masked one: give "
        "images.filled(0), or another value for what is masked."
      )
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
      remedy = _CONVERSIONS.get(images.dtype.kind, "") if images.ndim == 4 else ""
      raise UserError(
        f"{origin}: expected {expected}, found {images.dtype} of shape {images.shape}"
        f"{': ' if remedy else ''}{remedy}."
      )
    if not images.size:
      raise UserError(f"{origin} contains no images: its shape is {images.shape}.")
    self._images = _channels_last(images, channels, origin)
    self._origin = origin
    self._geometry = geometry or Geometry(
      None, size_from_sides(*self.original_shape(0))
    )

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
    """How each image is resized and cropped."""
    return self._geometry

  def original_shape(self, index: int) -> tuple[int, int]:
    """Height and width in the array, in pixels."""
    del index
    height, width = self._images.shape[1:3]
    return height, width

  def name(self, index: int) -> str:
    """The image's index."""
    return str(index)

  def load(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
    """The image, resized and cropped if its size differs.

    Raises:
      UserError: if its size differs and resizing is turned off.
    """
    image = _with_channels(self._images[index], self._geometry.channels)
    try:
      return fit_array(image, self._geometry)
    except SizeMismatchError as error:
      raise size_mismatch(
        f"{self._origin}: image {index}", error.found, self._geometry
      ) from error


def _expected(channels: int) -> str:
  gray = ", or gray (N, height, width)" if channels in (1, 3) else ""
  return EXPECTED.format(channels=channels) + gray


def _channels_last(images: np.ndarray, channels: int, origin: str) -> np.ndarray:
  """Converts images to NHWC if their channels can be converted to `channels`."""
  shape, accepted = images.shape, (channels, 4 - channels) if channels in (1, 3) else ()
  if images.ndim == 3:
    if shape[2] <= 4:
      raise UserError(
        f"{origin}: the shape {shape} is that of a single image: expected "
        f"{_expected(channels)}; images[None] makes an array of one image."
      )
    if shape[0] == 3:
      raise UserError(
        f"{origin}: the shape {shape} may be that of one RGB image with channels first "
        "or of three gray images: images[None] makes an array of the one, and "
        "images[..., None] of the three."
      )
    images = images[..., None]
    shape = images.shape
  for own in accepted or (channels,):
    if shape[3] == own:
      return images
    if shape[1] == own:
      return images.transpose(0, 2, 3, 1)
  raise UserError(
    f"{origin}: images of shape {shape} have {min(shape[1], shape[3])} channels, but "
    f"the network takes {channels}: expected {_expected(channels)}."
  )


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
  """Converts between gray and RGB where the network needs it."""
  own = image.shape[2]
  if own == 1 and channels == 3:
    return np.repeat(image, 3, axis=2)
  if own == 3 and channels == 1:
    colors = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(colors.convert("L"))[..., None]
  return np.ascontiguousarray(image)


class _MappedImages(ArrayImages):
  """Memory-mapped images; pickled as the file's path, not as the array."""

  def __init__(self, path: pathlib.Path, geometry: Geometry | None):
    super().__init__(open_npy(path, remedy="save it again"), geometry, str(path))
    self._path = path

  def __reduce__(self) -> tuple[Any, ...]:
    return _MappedImages, (self._path, self._geometry)


def open_array_images(
  path: str | pathlib.Path, geometry: Geometry | None = None
) -> ArrayImages:
  """Images from a `.npy` file (memory-mapped) or an `.npz` file.

  An `.npz` file must contain one array only, or one named `images`.

  Raises:
    UserError: if there is no such file, it is not a NumPy file, or its array has
      another dtype or shape.
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
      f"{path} contains the arrays {', '.join(names)}: name the array of images "
      "'images'."
    )
  return archive[name]
