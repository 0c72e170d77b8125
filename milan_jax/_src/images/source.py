"""What a source of inputs offers, and what became of one that cannot be read."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides


class UnreadableImageError(Exception):
  """One image of a source cannot be read; the message is the reason."""


@runtime_checkable
class Source(Protocol):
  """Numbered arrays, all of one shape and type. The number of an input is its id.

  A source goes to worker processes by pickle: what is open or large and lies on disk
  is opened there again, not sent. Several threads may call `load` at once.
  """

  def __len__(self) -> int:
    """Number of inputs, unreadable ones included."""

  @property
  def blank(self) -> Shaped[np.ndarray, "..."]:
    """An input that shows nothing: fills up where there is none. Do not write to it."""

  def name(self, index: int) -> str:
    """A name that a person recognizes the input by."""

  def load(self, index: int) -> Shaped[np.ndarray, "..."]:
    """The input, of the shape and type of `blank`.

    Raises:
      UnreadableImageError: if this input cannot be read; others may well be.
    """


@runtime_checkable
class ImageSource(Source, Protocol):
  """Images of one size, uint8, most often RGB; the blank one is black.

  Example:
    >>> class Gray:
    ...   size = 32
    ...   blank = np.zeros((32, 32, 3), np.uint8)
    ...   def __len__(self): return 10
    ...   def name(self, index): return f"gray {index}"
    ...   def load(self, index): return np.full((32, 32, 3), 25 * index, np.uint8)
    >>> milan_jax.collect(network, Gray(), layers=["conv2"], k=5).num_images
    10
  """

  @property
  def size(self) -> Size:
    """Size of every image, in pixels."""

  def load(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
    """The image.

    Raises:
      UnreadableImageError: if this image cannot be read; others may well be.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Skipped:
  """An image that could not be read: its id, its name and the reason."""

  image_id: int
  name: str
  reason: str


def black(
  size: Size, channels: int = 3
) -> UInt8[np.ndarray, "height width {channels}"]:
  """The blank image of a source of images."""
  return np.zeros((*sides(size), channels), np.uint8)


class RgbImages:
  """Pictures in RGB of inputs of another number of channels.

  Gray is repeated; of two channels blue is 0, and of more the first three are shown.

  Args:
    source: of arrays `(height, width, channels)`.
    size: of each, in pixels.
  """

  def __init__(self, source: Source, size: Size):
    self._source = source
    self._size = size

  def __len__(self) -> int:
    return len(self._source)

  @property
  def size(self) -> Size:
    """Size of every image, in pixels."""
    return self._size

  @property
  def blank(self) -> UInt8[np.ndarray, "height width 3"]:
    """A black image."""
    return black(self._size)

  def name(self, index: int) -> str:
    """The input's name."""
    return self._source.name(index)

  def load(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
    """The picture of an input."""
    pixels = self._source.load(index)
    channels = pixels.shape[2]
    if channels == 1:
      return np.repeat(pixels, 3, axis=2)
    if channels == 2:
      return np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    return np.ascontiguousarray(pixels[:, :, :3])


def load_again(source: Source, index: int) -> Shaped[np.ndarray, "..."]:
  """An image that could be read before.

  Raises:
    UserError: if it no longer can.
  """
  try:
    return source.load(index)
  except UnreadableImageError as error:
    raise UserError(
      f"{source.name(index)} could be read before but not now ({error}): put it "
      "back, or start again."
    ) from error
