"""Where fetched captioners and compiled programs are kept."""

import os
import pathlib

CACHE_VARIABLE = "MILAN_JAX_CACHE"


def cache_folder() -> pathlib.Path:
  """Where fetched captioners are kept."""
  named = os.environ.get(CACHE_VARIABLE)
  return pathlib.Path(named) if named else pathlib.Path.home() / ".cache" / "milan-jax"
