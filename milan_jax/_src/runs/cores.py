"""How many cores this process may use."""

import os


def num_cores() -> int:
  """Returns the number of cores; fewer than the machine has where that is limited."""
  known = hasattr(os, "sched_getaffinity")  # not on macOS
  return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
