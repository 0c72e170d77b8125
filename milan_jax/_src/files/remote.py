"""Folders on object stores, such as `gs://bucket/folder`, through etils' `epath`.

The libraries that read records need local files. A remote folder is therefore copied
into the cache once, and a local folder is copied to a remote one when it is complete.
"""

import os
import pathlib
import shutil
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.files.cache import alone_in, cache_folder
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.staging import staged_folder

_FOLDER = "remote"
_CHUNK = 1 << 24

# A path of etils: like `pathlib.Path`, local or remote.
EPath = Any


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Returns whether a path has a scheme, such as `gs://`."""
  return "://" in os.fspath(path)


def epath(path: str | os.PathLike[str]) -> EPath:
  """Returns the path as etils opens it.

  Raises:
    UserError: if etils cannot open paths of this scheme.
  """
  from etils import epath as library  # takes time, and local paths do without

  try:
    found = library.Path(os.fspath(path))
    if is_remote(path) and not is_remote(found):
      raise ValueError("its scheme is unknown")
    found.exists()
  except Exception as error:  # of many kinds, from several libraries
    raise unreachable(path, error) from error
  return found


def fetched(path: str | os.PathLike[str], *, stamp: str) -> pathlib.Path:
  """Returns a local folder with the content of a folder.

  A local folder is returned as it is. A remote one is copied into the cache, unless the
  copy there has the same stamp. Processes of one machine share the copy.

  Args:
    path: the folder.
    stamp: name of a file in it that changes with the content, and is written last.

  Raises:
    UserError: if the folder cannot be read.
  """
  if not is_remote(path):
    return pathlib.Path(path)
  source, cache = epath(path), cache_folder() / _FOLDER
  target: pathlib.Path = cache / sha256_of([os.fspath(path)])[:16] / source.name
  try:
    wanted = (source / stamp).read_bytes()
    with alone_in(cache):
      kept = target / stamp
      if kept.is_file() and kept.read_bytes() == wanted:
        return target
      shutil.rmtree(target, ignore_errors=True)
      with staged_folder(target) as staging:
        for each in sorted(source.iterdir(), key=lambda each: str(each.name)):
          if each.is_file():
            copy_file(each, staging / each.name)
  except UserError:
    raise
  except OSError as error:
    raise unreachable(path, error) from error
  except Exception as error:  # a library's own
    raise unreachable(path, error) from error
  return target


def put(folder: pathlib.Path, path: str | os.PathLike[str], *, stamp: str) -> None:
  """Copies the files of a complete local folder to a remote one, the stamp last.

  Args:
    folder: the local folder.
    path: the remote folder; files of the same names are replaced.
    stamp: name of the file that shows that the copy is complete.

  Raises:
    UserError: if the remote folder cannot be written.
  """
  target = epath(path)
  try:
    target.mkdir(parents=True, exist_ok=True)
    if (target / stamp).exists():
      (target / stamp).unlink()
    names = sorted(each.name for each in folder.iterdir() if each.is_file())
    for name in sorted(names, key=lambda name: name == stamp):
      copy_file(folder / name, target / name)
  except Exception as error:  # of many kinds, from several libraries
    raise unreachable(path, error) from error


def copy_file(source: EPath, target: EPath) -> None:
  """Copies one file; either may be remote."""
  with source.open("rb") as reader, target.open("wb") as writer:
    while data := reader.read(_CHUNK):
      writer.write(data)


def unreachable(path: str | os.PathLike[str], error: Exception) -> UserError:
  """Returns the error of a remote path that a library could not use."""
  words = " ".join(str(error).split())[:200]
  return UserError(
    f"{os.fspath(path)} cannot be opened ({type(error).__name__}: {words}): check the "
    "name and your access; gs:// needs pip install 'etils[epath-gcs]', s3:// "
    "'etils[epath-s3]'."
  )
