"""Startup and shutdown of worker processes that decode images.

By default a spawned process first runs the user's script again up to its
`if __name__ == "__main__"` (or all of it, if there is no such line), and then imports
JAX, because grain imports it if it can. A worker needs neither: classes defined in the
script are pickled by value. So this module replaces the script as the main module and
hides JAX while grain is imported. A source that needs JAX can still import it.
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
def stop_flag() -> Iterator[SharedMemory]:
  """One byte of shared memory; a value other than 0 asks the workers to stop."""
  memory = SharedMemory(create=True, size=1)
  try:
    yield memory
  finally:
    memory.close()
    memory.unlink()


def stop_requested(memory: SharedMemory) -> bool:
  """Whether the workers were asked to stop."""
  return memory.buf is None or memory.buf[0] != 0


def yield_elements(dataset: Any, workers: int, memory: SharedMemory) -> Iterator[Any]:
  """Yields the elements of an `mp_prefetch` data set, then ends its workers.

  Waits for the first element of each worker before yielding any, because only then have
  all workers started.

  Args:
    dataset: yields `()` after the flag in `memory` is set.
    workers: number of worker processes of `dataset`.
    memory: the flag from `stop_flag`.
  """
  with contextlib.closing(iter(dataset)) as iterator:
    try:
      with _as_main_module(), _without_interrupts():
        # `get_state` makes grain create the iterators of all workers: from then on its
        # `close` ends them all, including those that have yielded nothing.
        iterator.get_state()
        iterator.start_prefetch()
        first = collections.deque(itertools.islice(iterator, workers))
      while first:
        yield first.popleft()
      # Not `yield from`, which would close the iterator first.
      for element in iterator:  # noqa: UP028
        yield element
    finally:
      if memory.buf is not None:
        memory.buf[0] = 1
      # If an interrupt came before all workers had started, the others start here.
      with _as_main_module(), _without_interrupts():
        _drain(iterator, workers)


@contextlib.contextmanager
def _as_main_module() -> Iterator[None]:
  """Makes processes started in this block run this module, not the user's script."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # grain reads a flag of its own; its default is used
  main = sys.modules["__main__"]
  spec = getattr(main, "__spec__", None)
  # A new process runs the module named in `__main__.__spec__`.
  main.__spec__ = importlib.util.find_spec("milan_jax._src.images.decoding_worker")
  try:
    yield
  finally:
    main.__spec__ = spec


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
  """Blocks keyboard interrupts in threads and processes started in this block.

  An interrupt reaches the whole process group, and the parent process handles it.
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
  """Discards what workers have ready until each has seen the stop flag.

  grain's `close` discards what is ready but not what comes later, and a worker with a
  batch left in its pipe does not end.
  """
  idle = failed = 0
  while idle < workers and failed <= workers:
    try:
      idle = idle + 1 if next(iterator) == () else 0
    except StopIteration:
      return
    except Exception:  # already raised to the caller, or the caller has stopped reading
      failed += 1


def set_up_worker(index: int, number: int) -> None:
  """Sets up a worker; called before its first image."""
  del index, number
  # Pillow's warnings about a picture's metadata are irrelevant here.
  warnings.filterwarnings("ignore", module=r"PIL\.")
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends this process when its parent has ended, even if the parent was killed."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)


def _import_grain_without_jax() -> None:
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # for platforms that cannot block it
  hidden = {name: None for name in ("jax", "orbax", "orbax.checkpoint")}
  sys.modules.update(hidden)  # type: ignore[arg-type]
  logging.disable(logging.WARNING)  # grain warns about JAX's profiler
  try:
    # A grain version that requires JAX is imported in full when it is needed.
    with contextlib.suppress(ImportError):
      import grain  # noqa: F401
  finally:
    logging.disable(logging.NOTSET)
    for name in hidden:
      del sys.modules[name]


if __name__ == "__mp_main__":
  _import_grain_without_jax()
