"""Measures the machine's peak arithmetic and a process's memory."""

import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Side of the matrices for measuring the peak arithmetic rate.
PRODUCT_SIDE = 2048
ROUNDS = 5
_STATUS = pathlib.Path("/proc/self/status")


def use_cores(cores: int) -> None:
  """Restricts this process to its first `cores` cores; 0 means all cores."""
  if cores and hasattr(os, "sched_setaffinity"):
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(mine[:cores]))


def product_peak(dtype: str) -> float:
  """Measures the FLOP/s of a square matrix product on one device."""
  kind = jnp.bfloat16 if dtype == "bfloat16" else jnp.float32
  rng = np.random.default_rng(0)
  shape = (PRODUCT_SIDE, PRODUCT_SIDE)
  matrix = jnp.asarray(rng.standard_normal(shape, np.float32), kind)
  precision = "tensorfloat32" if dtype == "tensorfloat32" else "highest"
  with jax.default_matmul_precision(precision):
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    seconds = fastest(lambda: jax.block_until_ready(product(matrix, matrix)), ROUNDS)
  return 2 * PRODUCT_SIDE**3 / seconds


def fastest(run: Callable[[], Any], rounds: int) -> float:
  """Runs once to warm up; returns the seconds of the fastest of `rounds` runs."""
  run()
  best = float("inf")
  for _ in range(rounds):
    began = time.perf_counter()
    run()
    best = min(best, time.perf_counter() - began)
  return best


def resident_mb() -> float:
  """Returns the megabytes that the process uses; on a GPU, of the device."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "bytes_in_use" in stats:
    return float(stats["bytes_in_use"]) / 1e6
  return _status_mb("VmRSS")


def peak_mb() -> float:
  """Returns the peak megabytes since `reset_peak`; on a GPU, the device's own peak."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "peak_bytes_in_use" in stats:
    return float(stats["peak_bytes_in_use"]) / 1e6
  return _status_mb("VmHWM")


def reset_peak() -> None:
  """Resets the memory peak, if the system supports it."""
  clear = pathlib.Path("/proc/self/clear_refs")
  if clear.exists():
    clear.write_text("5")


def _status_mb(field: str) -> float:
  if not _STATUS.exists():
    return float("nan")
  for line in _STATUS.read_text().splitlines():
    if line.startswith(field):
      return int(line.split()[1]) * 1024 / 1e6
  return float("nan")


def describe_machine() -> dict[str, str | int]:
  """Returns the device, the processor and the versions that produced the figures."""
  name = platform.processor() or platform.machine()
  info = pathlib.Path("/proc/cpuinfo")
  if info.exists():
    models = [line for line in info.read_text().splitlines() if "model name" in line]
    name = models[0].split(":")[1].strip() if models else name
  return {
    "processor": name,
    "cores": len(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else os.cpu_count() or 1,
    "platform": platform.platform(),
    "backend": jax.default_backend(),
    "device": jax.devices()[0].device_kind,
    "flags": os.environ.get("XLA_FLAGS", ""),
    "jax": jax.__version__,
  }
