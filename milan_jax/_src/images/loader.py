"""Reads a source ahead of the model, in batches of a fixed shape.

The library grain does the work, in threads of this process or in processes of its own.
"""

import contextlib
import dataclasses
import functools
import os
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence

import grain
import numpy as np
from jaxtyping import Int, Shaped

from milan_jax._src.errors import UserError
from milan_jax._src.images import decoding_worker as worker
from milan_jax._src.images.source import Skipped, Source, UnreadableImageError

# Arrays come out of a worker through its pipe, which costs 0.1 ms an image. Of shared
# memory a container's usual 64 MB are soon full, and grain leaves pieces of it behind.
_PIPES = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)

# A position and what is there; None beyond the end.
_Row = tuple[int, np.ndarray | Skipped | None]
# First position, inputs and unreadable images.
_RawBatch = tuple[int, np.ndarray, tuple[Skipped, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
  """One batch of a source: `batch_size` consecutive positions.

  Attributes:
    start: position of its first row.
    stop: position after its last.
    inputs: a position's row is `position - start`; blank in the rows of images that
      cannot be read and in those beyond the end of the source.
    rows: the rows that hold an image, ascending, int64.
    skipped: the images of the batch that could not be read.
  """

  start: int
  stop: int
  inputs: Shaped[np.ndarray, "batch ..."]
  rows: Int[np.ndarray, "n"]
  skipped: tuple[Skipped, ...]

  @property
  def image_ids(self) -> Int[np.ndarray, "n"]:
    """Position in the source of each row of `rows`."""
    return self.start + self.rows


def batches(
  source: Source,
  batch_size: int,
  *,
  batch_indices: range | None = None,
  workers: int = 0,
  threads: int = 2,
) -> Generator[Batch, None, None]:
  """Reads batches of a source, decoding ahead of the consumer.

  Batch `i` holds the positions from `i * batch_size` on, whether or not all can be
  read: it depends on no other batch, nor on the number of workers or threads.

  Memory, however many images there are: two batches with threads; with workers some
  four batches a worker, and the 75 MB that a worker takes (60 of them its own). Workers
  are ready after 0.6 s and closed in half a second. They never import JAX, nor run the
  caller's script again, and end when this process does, even killed. Closing the
  iterator ends them too.

  Args:
    source: the images. With workers it must be possible to pickle it.
    batch_size: positions in a batch.
    batch_indices: the batches to read, in this order; None for all. Several processes
      share a source by taking every n-th each.
    workers: processes that decode, each one batch at a time; 0 uses threads.
    threads: threads that decode image by image; not used with workers.

  Raises:
    RuntimeError: if an image is unlike the blank, if it makes the source raise what is
      neither `UnreadableImageError` nor `UserError`, or if a worker dies.
    UserError: if the source raises it.
    ValueError: if a number is out of range.
  """
  total = -(-len(source) // batch_size) if batch_size > 0 else 0
  indices = range(total) if batch_indices is None else batch_indices
  if batch_size < 1 or workers < 0 or threads < 1:
    raise ValueError(
      f"need batch_size >= 1, workers >= 0, threads >= 1: got {batch_size}, {workers}, "
      f"{threads}"
    )
  if len(indices) and not (min(indices) >= 0 and max(indices) < total):
    raise ValueError(f"batches {indices} are not all among the {total} of the source")
  return _read(source, batch_size, indices, workers, threads)


def default_workers(source: Source) -> int:
  """Worker processes that pay for a source on this machine.

  Sources that say `decodes_files` (folders, data sets on disk) get half of the cores,
  no more than eight. Threads are better for others (arrays, packaged photographs), for
  few images, which are done before workers are ready, and on two cores, which the model
  keeps busy.
  """
  known = hasattr(os, "sched_getaffinity")  # macOS does not know
  cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
  if not getattr(source, "decodes_files", False) or len(source) < 1000 or cores <= 2:
    return 0
  return min(8, cores // 2)


def _read(
  source: Source, batch_size: int, indices: range, workers: int, threads: int
) -> Generator[Batch, None, None]:
  if not indices:
    return
  read = _workers if workers else _threads
  number = min(workers, len(indices)) if workers else threads
  with contextlib.closing(read(source, batch_size, indices, number)) as found:
    for start, inputs, skipped in found:
      stop = min(start + batch_size, len(source))
      unread = [item.image_id for item in skipped]
      rows = np.setdiff1d(np.arange(start, stop), unread) - start
      yield Batch(start, stop, inputs, rows, skipped)


def _threads(
  source: Source, batch_size: int, indices: range, threads: int
) -> Generator[_RawBatch, None, None]:
  stop = threading.Event()
  rows, assemble = _rows(source, batch_size, indices, stop.is_set)
  options = grain.ReadOptions(threads, prefetch_buffer_size=max(batch_size, threads))
  raw_batches = rows.to_iter_dataset(options).batch(batch_size, batch_fn=assemble)
  with contextlib.closing(iter(raw_batches)) as iterator:
    try:
      # Not `yield from`, which would close the iterator before anything else.
      for batch in iterator:  # noqa: UP028
        yield batch
    finally:
      stop.set()


def _workers(
  source: Source, batch_size: int, indices: range, workers: int
) -> Generator[_RawBatch, None, None]:
  with worker.halt() as memory:
    stop = functools.partial(worker.halted, memory)
    rows, assemble = _rows(source, batch_size, indices, stop)
    # Without threads: a worker that decodes has nothing else to do.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    raw_batches = rows.batch(batch_size, batch_fn=assemble).to_iter_dataset(options)
    piped = grain.experimental.WithOptionsIterDataset(raw_batches, _PIPES)
    ahead = grain.MultiprocessingOptions(workers, per_worker_buffer_size=1)
    processes = piped.mp_prefetch(ahead, worker_init_fn=worker.begin)
    yield from worker.deliver(processes, workers, memory)


def _rows(
  source: Source, batch_size: int, indices: range, stop: Callable[[], bool]
) -> tuple[grain.MapDataset, Callable[[Sequence[_Row]], _RawBatch | tuple[()]]]:
  """All rows of all batches, and the function that assembles a batch of its rows."""
  blank = np.asarray(source.blank)
  load = functools.partial(_load, source, blank, batch_size, indices, stop)
  rows = grain.MapDataset.range(len(indices) * batch_size).map(load)
  return rows, functools.partial(_assemble, blank, stop)


def _load(
  source: Source,
  blank: np.ndarray,
  batch_size: int,
  indices: range,
  stop: Callable[[], bool],
  index: int,
) -> _Row:
  """Row `index` of all that are read."""
  number, row = divmod(int(index), batch_size)
  position = indices[number] * batch_size + row
  if position >= len(source) or stop():
    return position, None
  try:
    found = source.load(position)
    if found.shape != blank.shape or found.dtype != blank.dtype:
      raise ValueError(
        f"expected {blank.dtype} of shape {blank.shape} as the source's blank, found "
        f"{found.dtype} of shape {found.shape}"
      )
    return position, found
  except UnreadableImageError as error:
    return position, Skipped(position, source.name(position), str(error))
  except UserError:
    raise
  except Exception as error:
    # An error of any other class may not survive the way out of a worker, and one that
    # does not is never heard of.
    failure = RuntimeError(f"{source.name(position)}: {type(error).__name__}: {error}")
    failure.add_note("".join(traceback.format_exception(error)))
    raise failure from None


def _assemble(
  blank: np.ndarray, stop: Callable[[], bool], rows: Sequence[_Row]
) -> _RawBatch | tuple[()]:
  """Assembles one batch; nothing if reading was stopped."""
  if stop():
    return ()
  inputs = np.repeat(blank[np.newaxis], len(rows), axis=0)
  for row, (_, found) in enumerate(rows):
    if isinstance(found, np.ndarray):
      inputs[row] = found
  skipped = tuple(found for _, found in rows if isinstance(found, Skipped))
  return rows[0][0], inputs, skipped
