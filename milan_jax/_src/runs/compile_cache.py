"""Compiled programs on disk, so that the next run of a command need not wait."""

import os
import pathlib
import platform

import jax

from milan_jax._src.files.cache import cache_folder
from milan_jax._src.files.digests import sha256_of

# What compiles faster than this is compiled again.
MIN_SECONDS = 0.3


def use_compile_cache() -> None:
  """Keeps what is compiled in the cache folder, unless JAX was told otherwise.

  `JAX_COMPILATION_CACHE_DIR` names another folder and
  `JAX_ENABLE_COMPILATION_CACHE=false` does without. Each kind of processor has a folder
  of its own: a program that was compiled for another one may not run here.
  """
  if "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  folder = cache_folder() / "compiled" / _processor()
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)


def _processor() -> str:
  """Digest of the processor's name and, where they are told, instruction sets."""
  info = pathlib.Path("/proc/cpuinfo")
  text = platform.machine() + platform.processor()
  if info.exists():
    lines = info.read_text().splitlines()
    text += "".join(
      next((line for line in lines if line.startswith(field)), "")
      for field in ("flags", "Features", "model name")
    )
  return sha256_of([text])[:12]
