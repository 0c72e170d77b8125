"""Folders and growing arrays that are written completely or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from milan_jax._src.errors import UserError


@contextlib.contextmanager
def staged_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields an empty folder to fill, which becomes `folder` when the block succeeds.

  The staging folder has another name and is renamed at the end. The next run removes
  the staging folder of a killed run. If the block raises, the staging folder is
  removed.

  Raises:
    UserError: if `folder` already exists; it is never overwritten.
  """
  folder = pathlib.Path(folder)
  if folder.exists():
    raise UserError(f"{folder} already exists: remove it, or choose another folder.")
  folder.parent.mkdir(parents=True, exist_ok=True)
  staging = folder.with_name(f".{folder.name}.partial")
  shutil.rmtree(staging, ignore_errors=True)
  staging.mkdir()
  try:
    yield staging
    for path in staging.rglob("*"):
      if path.is_file():
        with path.open("rb") as file:
          os.fsync(file.fileno())
    staging.rename(folder)
  except BaseException:
    shutil.rmtree(staging, ignore_errors=True)
    raise


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
