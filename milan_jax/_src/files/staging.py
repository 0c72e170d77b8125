"""Folders and growing arrays that are written completely or not at all."""

import contextlib
import errno
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from milan_jax._src.errors import UserError

if sys.platform != "win32":
  import fcntl

# Errors of file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
_TRIES = 100


@contextlib.contextmanager
def staged_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields an empty folder to fill, which becomes `folder` when the block succeeds.

  The staging folder has another name and is renamed at the end. It is locked, by a lock
  of the operating system that ends with its process, and the next run empties the
  staging folder of a killed run. If the block raises, the staging folder is removed.

  Raises:
    UserError: if `folder` already exists (it is never overwritten), or another process
      is writing it.
  """
  folder = pathlib.Path(folder)
  _refuse_existing(folder)
  folder.parent.mkdir(parents=True, exist_ok=True)
  staging = folder.with_name(f".{folder.name}.partial")
  lock = _claim(staging, folder)
  try:
    _refuse_existing(folder)  # another process may just have written it
    for path in staging.iterdir():
      if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
      else:
        path.unlink()
    yield staging
    for path in staging.rglob("*"):
      if path.is_file():
        with path.open("rb") as file:
          os.fsync(file.fileno())
    staging.rename(folder)
  except BaseException:
    shutil.rmtree(staging, ignore_errors=True)
    raise
  finally:
    os.close(lock)


def _refuse_existing(folder: pathlib.Path) -> None:
  if folder.exists():
    raise UserError(f"{folder} already exists: remove it, or choose another folder.")


def _claim(staging: pathlib.Path, folder: pathlib.Path) -> int:
  """Creates and locks a staging folder; returns a descriptor that holds the lock."""
  for _ in range(_TRIES):
    staging.mkdir(exist_ok=True)
    try:
      found = os.open(staging, os.O_RDONLY)
    except FileNotFoundError:  # its writer has renamed or removed it
      continue
    try:
      if sys.platform != "win32":
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
      if os.path.samestat(staging.stat(), os.fstat(found)):
        return found
    except BlockingIOError:
      os.close(found)
      break
    except FileNotFoundError:
      pass
    except OSError as error:
      if error.errno in _NO_LOCKS:
        return found
      os.close(found)
      raise
    os.close(found)
  raise UserError(
    f"{folder} is being written by another process: wait until that ends, or choose "
    "another folder."
  )


class GrowingArray:
  """A `.npy` file to which rows are appended, without knowing their number in advance.

  Args:
    path: the file; it is not a valid `.npy` file until the array is closed.
    shape: shape of one row.
    dtype: dtype of the values.
  """

  def __init__(self, path: pathlib.Path, shape: tuple[int, ...], dtype: np.dtype):
    self._shape = shape
    self._dtype = np.dtype(dtype)
    self._num_rows = 0
    self._file = path.open("wb")
    self._write_header()

  def __len__(self) -> int:
    return self._num_rows

  def append(self, row: np.ndarray) -> None:
    """Appends one row.

    Raises:
      ValueError: if the row has the wrong shape or dtype.
    """
    if row.shape != self._shape or row.dtype != self._dtype:
      raise ValueError(
        f"expected a row of {self._dtype} of shape {self._shape}, "
        f"found {row.dtype} of shape {row.shape}"
      )
    self._file.write(row.tobytes())
    self._num_rows += 1

  def close(self) -> None:
    """Writes the final header and closes the file."""
    if not self._file.closed:
      self._file.seek(0)
      self._write_header()
      self._file.close()

  def __enter__(self) -> "GrowingArray":
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.close()

  def _write_header(self) -> None:
    # NumPy pads the header so that the first axis can grow without changing its length.
    header = {
      "descr": np.lib.format.dtype_to_descr(self._dtype),
      "fortran_order": False,
      "shape": (self._num_rows, *self._shape),
    }
    np.lib.format.write_array_header_1_0(self._file, header)
