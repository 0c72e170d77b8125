"""The cache of compiled programs on disk."""

import os
import pathlib
import platform

import jax

from milan_jax._src.files.cache import cache_folder
from milan_jax._src.files.digests import sha256_of

# Programs that compile faster than this are not cached.
MIN_SECONDS = 0.3


def use_compile_cache() -> None:
  """Turns on JAX's compilation cache in the cache folder, unless JAX is configured.

  `JAX_COMPILATION_CACHE_DIR` sets another folder, and
  `JAX_ENABLE_COMPILATION_CACHE=false` turns the cache off. Each kind of processor has a
  separate folder, because a program compiled for another processor may not run here.
  """
  if "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  folder = cache_folder() / "compiled" / _processor()
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)


def _processor() -> str:
  """Returns a digest of the processor's name and, if known, instruction sets."""
  info = pathlib.Path("/proc/cpuinfo")
  text = platform.machine() + platform.processor()
  if info.exists():
    lines = info.read_text().splitlines()
    text += "".join(
      next((line for line in lines if line.startswith(field)), "")
      for field in ("flags", "Features", "model name")
    )
  return sha256_of([text])[:12]
