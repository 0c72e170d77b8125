"""The memory that there is, and memory that was freed, given back to the system."""

import ctypes
import os
import pathlib
import sys

import jax

# Where Linux says what a container may take.
_CGROUPS = (
  pathlib.Path("/sys/fs/cgroup/memory.max"),
  pathlib.Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_of(device: jax.Device) -> int | None:
  """Bytes of memory that a device has in all; None if nothing tells."""
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
    except (OSError, ValueError):  # not there, or `max`
      continue
  return min(limits, default=None)


def return_freed_memory() -> None:
  """Returns what the process has freed, where the C library knows how (glibc).

  Compiling takes some hundred megabytes which are freed at its end and which the C
  library would keep for itself.
  """
  if sys.platform == "linux":
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
      trim(0)
