"""The size of memory, and the return of freed memory to the system."""

import ctypes
import os
import pathlib
import sys

import jax

# Files with a container's memory limit on Linux.
_CGROUPS = (
  pathlib.Path("/sys/fs/cgroup/memory.max"),
  pathlib.Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_of(device: jax.Device) -> int | None:
  """Returns the total memory of a device, in bytes; None if unknown."""
  if device.platform != "cpu":
    return (device.memory_stats() or {}).get("bytes_limit")
  limits = []
  if (
    hasattr(os, "sysconf")
    and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys()
  ):
    limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
  for path in _CGROUPS:
    try:
      limits.append(int(path.read_text()))
    except (OSError, ValueError):  # missing, or `max`
      continue
  return min(limits, default=None)


def return_freed_memory() -> None:
  """Returns freed memory to the system, if the C library supports it (glibc).

  Compilation temporarily needs some hundred megabytes, which the C library would keep
  otherwise.
  """
  if sys.platform == "linux":
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
      trim(0)
