"""The cache folder for downloaded captioners and compiled programs."""

import os
import pathlib

CACHE_VARIABLE = "MILAN_JAX_CACHE"


def cache_folder() -> pathlib.Path:
  """Returns the cache folder."""
  named = os.environ.get(CACHE_VARIABLE)
  return pathlib.Path(named) if named else pathlib.Path.home() / ".cache" / "milan-jax"
