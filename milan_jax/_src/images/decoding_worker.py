"""A process that decodes images: how it starts, and how it ends.

Left alone, such a process first runs the user's script again up to its
`if __name__ == "__main__"` (or all of it, where there is none), and then imports JAX,
since grain does if it can. It needs neither: classes of the script come to it by value.
So this module takes the script's place, and keeps JAX away while grain is imported.
A source that needs JAX can still import it.
"""

import collections
import contextlib
import importlib.util
import itertools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from absl import flags


@contextlib.contextmanager
def halt() -> Iterator[SharedMemory]:
  """One byte that processes share: not 0 once nothing more is wanted of the workers."""
  memory = SharedMemory(create=True, size=1)
  try:
    yield memory
  finally:
    memory.close()
    memory.unlink()


def halted(memory: SharedMemory) -> bool:
  """Whether nothing more is wanted."""
  return memory.buf is None or memory.buf[0] != 0


def deliver(dataset: Any, workers: int, memory: SharedMemory) -> Iterator[Any]:
  """The elements of a grain data set made by `mp_prefetch`; ends the workers.

  The first of each worker are waited for before any is given, since only then have all
  workers started.

  Args:
    dataset: gives `()` once `memory` says that nothing more is wanted.
    workers: its number of workers.
    memory: from `halt`.
  """
  with contextlib.closing(iter(dataset)) as iterator:
    try:
      with _in_place_of_main(), _without_interrupts():
        # Asked for its state, grain makes the iterators of all workers: from then on
        # its `close` ends them all, also those that have delivered nothing.
        iterator.get_state()
        iterator.start_prefetch()
        first = collections.deque(itertools.islice(iterator, workers))
      while first:
        yield first.popleft()
      # Not `yield from`, which would close the iterator before anything else.
      for element in iterator:  # noqa: UP028
        yield element
    finally:
      if memory.buf is not None:
        memory.buf[0] = 1
      # Where an interrupt came before all had started, the others start here.
      with _in_place_of_main(), _without_interrupts():
        _drain(iterator, workers)


@contextlib.contextmanager
def _in_place_of_main() -> Iterator[None]:
  """A process that starts meanwhile runs this module first, not the user's script."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # grain reads a flag of its own, left at its default
  main = sys.modules["__main__"]
  spec = getattr(main, "__spec__", None)
  # A new process runs the module that the main one says it is.
  main.__spec__ = importlib.util.find_spec("milan_jax._src.images.decoding_worker")
  try:
    yield
  finally:
    main.__spec__ = spec


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
  """A thread or process that starts meanwhile gets no interrupt from the keyboard.

  It reaches the whole group of processes, and this one deals with it.
  """
  if not hasattr(signal, "pthread_sigmask"):  # Windows
    yield
    return
  earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _drain(iterator: Any, workers: int) -> None:
  """Takes what workers have ready, until each knows that nothing more is wanted.

  grain's `close` takes what is ready but not what comes after, and a worker that has a
  batch left in its pipe does not end.
  """
  idle = failed = 0
  while idle < workers and failed <= workers:
    try:
      idle = idle + 1 if next(iterator) == () else 0
    except StopIteration:
      return
    except Exception:  # whoever reads has heard of an error, or wants no more
      failed += 1


def begin(index: int, number: int) -> None:
  """Called in a worker before its first image."""
  del index, number
  # What Pillow thinks of a picture's metadata is of no use to anyone here.
  warnings.filterwarnings("ignore", module=r"PIL\.")
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends this process when its parent is gone, even killed."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)


def _import_grain_alone() -> None:
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked
  hidden = {name: None for name in ("jax", "orbax", "orbax.checkpoint")}
  sys.modules.update(hidden)  # type: ignore[arg-type]
  logging.disable(logging.WARNING)  # grain warns about JAX's profiler
  try:
    # A version that cannot do without JAX is imported in full when it is needed.
    with contextlib.suppress(ImportError):
      import grain  # noqa: F401
  finally:
    logging.disable(logging.NOTSET)
    for name in hidden:
      del sys.modules[name]


if __name__ == "__mp_main__":
  _import_grain_alone()
