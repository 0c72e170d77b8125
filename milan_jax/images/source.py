"""What a source of inputs offers, and what became of one that cannot be read."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped, UInt8

from milan_jax.errors import UserError


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
    """A name that a person recognises the input by."""

  def load(self, index: int) -> Shaped[np.ndarray, "..."]:
    """The input, of the shape and type of `blank`.

    Raises:
      UnreadableImageError: if this input cannot be read; others may well be.
    """


@runtime_checkable
class ImageSource(Source, Protocol):
  """Square uint8 RGB images; the blank one is black."""

  @property
  def size(self) -> int:
    """Side of every image, in pixels."""

  def load(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
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


def black(size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
  """The blank image of a source of images."""
  return np.zeros((size, size, 3), np.uint8)


def load_again(source: Source, index: int) -> Shaped[np.ndarray, "..."]:
  """An image that could be read before.

  Raises:
    UserError: if it no longer can.
  """
  try:
    return source.load(index)
  except UnreadableImageError as error:
    raise UserError(
      f"{source.name(index)} could be read before and no longer can ({error}): put it "
      "back, or begin anew."
    ) from error
