"""The interface of sources of inputs, and records of unreadable inputs."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides


class UnreadableImageError(Exception):
  """One image of a source cannot be read; the message is the reason.

  The `load` of your own source may raise it: the image is then left out, and named at
  the end.

  Example:
    >>> class Broken:
    ...   size = 32
    ...   blank = np.zeros((32, 32, 3), np.uint8)
    ...   def __len__(self): return 10
    ...   def name(self, index): return f"number {index}"
    ...   def load(self, index):
    ...     if index == 3:
    ...       raise milan_jax.UnreadableImageError("it is empty")
    ...     return np.full((32, 32, 3), 25 * index, np.uint8)
    >>> found = milan_jax.collect(network, Broken(), layers=["conv2"], k=5)
    >>> 3 in found.exemplars("conv2").image_ids
    False
  """


@runtime_checkable
class Source(Protocol):
  """A sequence of arrays of the same shape and dtype. An input's index is its id.

  A source is pickled for worker processes: it should reopen its files there rather than
  pickle open files or large arrays that are on disk. Several threads may call `load`
  concurrently.
  """

  def __len__(self) -> int:
    """Number of inputs, including unreadable ones."""

  @property
  def blank(self) -> Shaped[np.ndarray, "..."]:
    """An empty input, used as padding. Do not write to it."""

  def name(self, index: int) -> str:
    """A name by which a person recognizes the input."""

  def load(self, index: int) -> Shaped[np.ndarray, "..."]:
    """The input, of the shape and dtype of `blank`.

    Raises:
      UnreadableImageError: if this input cannot be read; reading goes on.
    """


@runtime_checkable
class ImageSource(Source, Protocol):
  """Images of one size, uint8, usually RGB; the blank image is black.

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
      UnreadableImageError: if this image cannot be read; reading goes on.
    """


@runtime_checkable
class GroupedSource(Source, Protocol):
  """A source with groups of related inputs, such as crops of one photograph.

  At most `exemplars.top_images.PER_GROUP` of a group are exemplars of one unit, so that
  a single photograph does not fill them.
  """

  def groups(self) -> Int[np.ndarray, "inputs"]:
    """The group of each input, a number from 0."""


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
  """RGB pictures of inputs with any number of channels.

  Gray is repeated; two channels become red and green, with blue 0; of four or more, the
  first three are shown.

  Args:
    source: inputs of shape `(height, width, channels)`.
    size: size of each input, in pixels.
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
    pixels = read_input(self._source, index)
    channels = pixels.shape[2]
    if channels == 1:
      return np.repeat(pixels, 3, axis=2)
    if channels == 2:
      return np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    return np.ascontiguousarray(pixels[:, :, :3])


def read_input(
  source: Source, index: int, blank: np.ndarray | None = None
) -> Shaped[np.ndarray, "..."]:
  """Loads an input as a NumPy array, whatever array the source gives.

  Args:
    source: the inputs.
    index: the input's.
    blank: the source's blank, if it is at hand.

  Raises:
    UnreadableImageError: if it cannot be read.
    UserError: if it differs from the blank in shape or dtype.
  """
  found = np.asarray(source.load(index))
  blank = np.asarray(source.blank) if blank is None else blank
  if found.shape != blank.shape or found.dtype != blank.dtype:
    raise UserError(
      f"{source.name(index)}: expected {blank.dtype} of shape {blank.shape}, like the "
      f"blank of its source; found {found.dtype} of shape {found.shape}."
    )
  return found


def load_again(source: Source, index: int) -> Shaped[np.ndarray, "..."]:
  """Loads an image that could be read earlier in the run.

  Raises:
    UserError: if it can no longer be read.
  """
  try:
    return read_input(source, index)
  except UnreadableImageError as error:
    raise UserError(
      f"{source.name(index)} could be read before but not now ({error}): restore it, "
      "or start a new run."
    ) from error
