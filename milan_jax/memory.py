"""Memory that was freed, given back to the system."""

import ctypes
import sys


def return_freed_memory() -> None:
  """Returns what the process has freed, where the C library knows how (glibc).

  Compiling takes some hundred megabytes which are freed at its end and which the C
  library would keep for itself.
  """
  if sys.platform == "linux":
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
      trim(0)
