"""What a person sees while a command works: one bar a step, on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from milan_jax.file_names import shown


def say(line: str) -> None:
  """Prints a line beside the bars."""
  tqdm.write(shown(line), file=sys.stderr)


@contextmanager
def bar(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
  """Yields a function that is told how much is done and how much there is."""
  with tqdm(desc=label, unit=f" {unit}", mininterval=0.5, leave=True) as shown:

    def show(done: int, total: int) -> None:
      if shown.total != total:
        # What an earlier run did counts as done, and not for the speed.
        shown.reset(total)
        shown.initial = done
      shown.n = done
      shown.refresh()

    yield show
