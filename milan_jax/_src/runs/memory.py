"""The size of memory, who may have a GPU's, and the return of freed memory."""

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


def share_device_memory() -> None:
  """Lets JAX take a GPU's memory as it needs it, not three quarters of it at once.

  Then a torch model, or another process, can use what JAX does not. It must run before
  JAX first uses a device, and has no effect later. A value of
  `XLA_PYTHON_CLIENT_PREALLOCATE` that the user set is kept.
  """
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def return_freed_memory() -> None:
  """Returns freed memory to the system and to the GPU, where libraries kept it.

  Compilation temporarily needs some hundred megabytes, which the C library (glibc)
  would keep otherwise. Torch keeps the memory of a GPU that its activations took.
  """
  torch = sys.modules.get("torch")
  if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
    torch.cuda.empty_cache()
  if sys.platform == "linux":
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
      trim(0)
