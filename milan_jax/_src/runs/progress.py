"""Messages to the user on standard error."""

import sys

from tqdm import tqdm

from milan_jax._src.files.names import shown
from milan_jax._src.runs.bars import bar, is_quiet

__all__ = ["bar", "say"]


def say(line: str) -> None:
  """Prints a line without disturbing progress bars."""
  if not is_quiet():
    tqdm.write(shown(line), file=sys.stderr)
