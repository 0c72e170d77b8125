"""Progress on standard error: a bar on a terminal, lines in a log."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

# Seconds between lines.
_PAUSE = 10.0

Show = Callable[[int, int], None]
# Its level turns progress on and off; nothing is logged to it.
_LOGGER = logging.getLogger("milan_jax")


def is_quiet() -> bool:
  """Returns whether the level of the logger `milan_jax` is above INFO."""
  return _LOGGER.level > logging.INFO


@contextmanager
def bar(label: str, unit: str, *, scale: bool = False) -> Iterator[Show]:
  """Yields a function that displays progress, given the amount done and the total.

  If standard error is not a terminal, it prints a line at the end, and before that at
  most every ten seconds.

  Args:
    label: the name of the step.
    unit: the plural noun for the counted items.
    scale: whether to use the prefixes k, M and so on.
  """
  if is_quiet():
    yield lambda done, total: None
    return
  if not sys.stderr.isatty():
    yield _lines(label, unit, scale)
    return
  with tqdm(
    desc=label, unit=f" {unit}", unit_scale=scale, mininterval=0.5, leave=True
  ) as shown:

    def show(done: int, total: int) -> None:
      if shown.total != total:
        # Work of an earlier run counts as done, but not for the speed.
        shown.reset(total)
        shown.initial = done
      shown.n = done
      shown.refresh()

    yield show


def _lines(label: str, unit: str, scale: bool) -> Show:
  count = tqdm.format_sizeof if scale else str
  last, written = time.monotonic(), -1

  def show(done: int, total: int) -> None:
    nonlocal last, written
    now = time.monotonic()
    if done == written or (done < total and now - last < _PAUSE):
      return
    last, written = now, done
    print(f"{label}: {count(done)} of {count(total)} {unit}", file=sys.stderr)

  return show
