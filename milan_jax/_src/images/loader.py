"""Prefetches batches of a fixed shape from a source.

The library grain reads them in threads of this process or in worker processes.
"""

import contextlib
import dataclasses
import functools
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence

import grain
import numpy as np
from jaxtyping import Int, Shaped

from milan_jax._src.errors import UserError
from milan_jax._src.images import decoding_worker as worker
from milan_jax._src.images.source import (
  Skipped,
  Source,
  UnreadableImageError,
  read_input,
)
from milan_jax._src.runs.cores import num_cores

# Workers send arrays through pipes, which costs 0.1 ms per image. Shared memory would
# be faster, but a container usually has 64 MB of it, which fills quickly, and grain
# leaks segments.
_PIPES = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)

# A position and its input; None past the end of the source.
_Row = tuple[int, np.ndarray | Skipped | None]
# First position, inputs, and unreadable images.
_RawBatch = tuple[int, np.ndarray, tuple[Skipped, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
  """One batch of a source: `batch_size` consecutive positions.

  Attributes:
    start: position of the first row.
    stop: position after the last image.
    inputs: position `p` is in row `p - start`; the rows of unreadable images and rows
      past the end of the source are blank.
    rows: the rows that contain an image, ascending, int64.
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

  Batch `i` contains the positions from `i * batch_size` on, even if some cannot be
  read. It does not depend on other batches or on the number of workers or threads.

  The memory used does not depend on the number of images: two batches with threads;
  with workers, about four batches per worker plus 75 MB for each process (60 MB of them
  not shared). Workers start in 0.6 s and stop in 0.5 s. They do not import JAX or run
  the caller's script again, and they end when this process ends, even if it is killed.
  Closing the iterator also ends them.

  Args:
    source: the images. It must be picklable if there are workers.
    batch_size: positions per batch.
    batch_indices: the batches to read, in this order; None for all. Several processes
      share a source by each taking every n-th batch.
    workers: number of decoding processes, each of which works on one batch at a time; 0
      uses threads.
    threads: number of threads that decode image by image; not used with workers.

  Raises:
    RuntimeError: if the source raises anything but `UnreadableImageError` or
      `UserError`, or if a worker dies.
    UserError: if the source raises one, or an image differs from the blank in shape or
      dtype.
    ValueError: if an argument is out of range.
  """
  total = -(-len(source) // batch_size) if batch_size > 0 else 0
  indices = range(total) if batch_indices is None else batch_indices
  if batch_size < 1 or workers < 0 or threads < 1:
    raise ValueError(
      f"need batch_size >= 1, workers >= 0, threads >= 1: got {batch_size}, {workers}, "
      f"{threads}"
    )
  if len(indices) and not (min(indices) >= 0 and max(indices) < total):
    raise ValueError(f"batches {indices} are not all among the source's {total}")
  return _read(source, batch_size, indices, workers, threads)


def default_workers(source: Source) -> int:
  """Number of worker processes that speed up reading a source on this machine.

  Sources with `decodes_files` set (folders, data sets on disk) get half the cores, at
  most eight. Threads are faster for other sources (arrays, packaged photographs), for
  few images, which are read before workers are ready, and on two cores, which the model
  already keeps busy.
  """
  cores = num_cores()
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
      # Not `yield from`, which would close the iterator first.
      for batch in iterator:  # noqa: UP028
        yield batch
    finally:
      stop.set()


def _workers(
  source: Source, batch_size: int, indices: range, workers: int
) -> Generator[_RawBatch, None, None]:
  with worker.stop_flag() as memory:
    stop = functools.partial(worker.stop_requested, memory)
    rows, assemble = _rows(source, batch_size, indices, stop)
    # No threads: a worker does nothing but decode.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    raw_batches = rows.batch(batch_size, batch_fn=assemble).to_iter_dataset(options)
    piped = grain.experimental.WithOptionsIterDataset(raw_batches, _PIPES)
    ahead = grain.MultiprocessingOptions(workers, per_worker_buffer_size=1)
    processes = piped.mp_prefetch(ahead, worker_init_fn=worker.set_up_worker)
    yield from worker.yield_elements(processes, workers, memory)


def _rows(
  source: Source, batch_size: int, indices: range, stop: Callable[[], bool]
) -> tuple[grain.MapDataset, Callable[[Sequence[_Row]], _RawBatch | tuple[()]]]:
  """All rows of all batches, and the function that assembles rows into a batch."""
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
  """Loads row `index`, counted over all batches read."""
  number, row = divmod(int(index), batch_size)
  position = indices[number] * batch_size + row
  if position >= len(source) or stop():
    return position, None
  try:
    return position, read_input(source, position, blank)
  except UnreadableImageError as error:
    return position, Skipped(position, source.name(position), str(error))
  except UserError:
    raise
  except Exception as error:
    # Other classes of exceptions may not be picklable, and a worker's exception that
    # cannot be pickled is lost.
    failure = RuntimeError(f"{source.name(position)}: {type(error).__name__}: {error}")
    failure.add_note("".join(traceback.format_exception(error)))
    raise failure from None


def _assemble(
  blank: np.ndarray, stop: Callable[[], bool], rows: Sequence[_Row]
) -> _RawBatch | tuple[()]:
  """Assembles one batch; `()` if reading was stopped."""
  if stop():
    return ()
  inputs = np.repeat(blank[np.newaxis], len(rows), axis=0)
  for row, (_, found) in enumerate(rows):
    if isinstance(found, np.ndarray):
      inputs[row] = found
  skipped = tuple(found for _, found in rows if isinstance(found, Skipped))
  return rows[0][0], inputs, skipped
