"""Reads batches ahead of the device, in threads of Grain; of each process its rows."""

from collections.abc import Callable, Iterator

import grain
import jax
import numpy as np
from jaxtyping import Int

from milan_jax._src.training.batches import Batch, Gather, Samples, num_batches

# Threads that read batches, and batches that wait for the device at most.
_THREADS, _AHEAD = 2, 3

# Returns the batches of some samples, without features.
MakeBatches = Callable[[Samples], Iterator[Batch]]
# Returns the rows of an array, by its number of rows, that a process holds.
LocalRows = Callable[[int], Int[np.ndarray, "local"]]


def read_ahead(
  make: MakeBatches,
  samples: Samples,
  *,
  batch_size: int,
  gather: Gather | None,
  local_rows: LocalRows | None = None,
  start: int = 0,
) -> Iterator[Batch]:
  """Yields the batches of the samples, with the features of their units.

  A batch depends only on its number, so the result depends neither on the threads nor
  on where an epoch is resumed.

  Args:
    make: returns the batches of some samples, of all processes and without features.
    samples: the samples, in order.
    batch_size: captions per batch.
    gather: returns the features of units; None for batches without features.
    local_rows: the rows that this process holds: only their features are read. None
      for all rows.
    start: number of batches to skip.
  """

  def batch(number: int) -> Batch:
    first = number * batch_size
    some = Samples(
      samples.tokens[first : first + batch_size],
      samples.rows[first : first + batch_size],
    )
    (whole,) = make(some)
    num_rows = len(whole.weights)
    held = np.arange(num_rows) if local_rows is None else local_rows(num_rows)
    local = whole
    if local_rows is not None:
      local = jax.tree.map(lambda array: array[local_rows(len(array))], whole)
    if gather is None:
      return local
    used = held[held < len(some.rows)]
    # A process that holds only padding reads one unit, for the shape.
    found = gather(some.rows[used] if len(used) else some.rows[:1])
    features = np.zeros((len(held), *found.shape[1:]), np.float32)
    features[: len(used)] = found[: len(used)]
    return local._replace(features=features)

  stop = num_batches(samples, batch_size)
  if start >= stop:
    return iter(())  # Grain has no empty data sets
  options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
  return iter(grain.MapDataset.range(start, stop).map(batch).to_iter_dataset(options))
