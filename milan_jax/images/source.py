"""What an image source offers, and reading one ahead in batches of a fixed shape."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, UInt8

from milan_jax.errors import UserError


class UnreadableImageError(Exception):
  """One image of a source cannot be read; the message is the reason."""


@runtime_checkable
class ImageSource(Protocol):
  """Numbered square images, all of one size. The number of an image is its id."""

  def __len__(self) -> int:
    """Number of images, unreadable ones included."""

  @property
  def size(self) -> int:
    """Side of every image, in pixels."""

  def name(self, index: int) -> str:
    """A name that a person recognises the image by."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
  """The readable images of one stretch of a source.

  Attributes:
    image_ids: position in the source of each readable image, ascending.
    images: those images first, then zeros up to the batch's fixed size.
    skipped: the images of the stretch that could not be read.
    stop: position after the stretch: where to start again.
  """

  image_ids: Int[np.ndarray, "n"]
  images: UInt8[np.ndarray, "batch size size 3"]
  skipped: tuple[Skipped, ...]
  stop: int


def batches(
  source: ImageSource,
  batch_size: int,
  *,
  start: int = 0,
  threads: int = 2,
) -> Iterator[Batch]:
  """Reads a source from `start` to its end, in order, decoding one batch ahead.

  A batch covers `batch_size` positions whether or not all can be read, so the batches
  of a run that starts again at a batch's `stop` are those of an unbroken run.

  Args:
    source: the images.
    batch_size: positions in a batch, and rows of its `images`.
    start: first position.
    threads: threads that decode; Pillow lets go of the interpreter while it does.
  """
  waiting: collections.deque = collections.deque()
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    ahead = iter(range(start, len(source)))

    def refill(number: int) -> None:
      # The range first: zip takes one item more from whatever comes before it.
      for _, index in zip(range(number), ahead, strict=False):
        waiting.append(pool.submit(_try_load, source, index))

    try:
      refill(batch_size)
      for first in range(start, len(source), batch_size):
        refill(batch_size)
        stop = min(first + batch_size, len(source))
        loaded = [waiting.popleft().result() for _ in range(first, stop)]
        yield _batch(source.size, batch_size, stop, loaded)
    finally:
      for future in waiting:
        future.cancel()


def _try_load(source: ImageSource, index: int) -> tuple[int, np.ndarray | Skipped]:
  try:
    return index, source.load(index)
  except UnreadableImageError as error:
    return index, Skipped(index, source.name(index), str(error))


def _batch(size: int, batch_size: int, stop: int, loaded: list) -> Batch:
  readable = [(index, item) for index, item in loaded if isinstance(item, np.ndarray)]
  images = np.zeros((batch_size, size, size, 3), np.uint8)
  for row, (_, image) in enumerate(readable):
    images[row] = image
  return Batch(
    image_ids=np.array([index for index, _ in readable], np.int64),
    images=images,
    skipped=tuple(item for _, item in loaded if isinstance(item, Skipped)),
    stop=stop,
  )


def load_again(source: ImageSource, index: int) -> UInt8[np.ndarray, "size size 3"]:
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
