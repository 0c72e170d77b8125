"""The cache folder for downloaded captioners and compiled programs."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

from milan_jax._src.errors import UserError

if sys.platform != "win32":
  import fcntl

CACHE_VARIABLE = "MILAN_JAX_CACHE"


def cache_folder() -> pathlib.Path:
  """Returns the cache folder."""
  named = os.environ.get(CACHE_VARIABLE)
  return pathlib.Path(named) if named else pathlib.Path.home() / ".cache" / "milan-jax"


@contextlib.contextmanager
def alone_in(cache: pathlib.Path) -> Iterator[None]:
  """Locks the cache against other processes that write to it.

  Raises:
    UserError: if the folder cannot be written.
  """
  try:
    cache.mkdir(parents=True, exist_ok=True)
    lock = (cache / ".lock").open("wb")
  except OSError as error:
    raise UserError(
      f"{cache} cannot be written ({error.strerror}): set ${CACHE_VARIABLE} to a "
      "writable folder"
    ) from error
  with lock as file:
    if sys.platform != "win32":
      fcntl.flock(file, fcntl.LOCK_EX)
    yield
