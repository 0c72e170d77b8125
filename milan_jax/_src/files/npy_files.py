"""Reads `.npy` and `.npz` files after checking their headers.

A damaged header can request any amount of memory, and a damaged array can have any
dtype and shape. Callers pass the dtype and shape that they expect.
"""

import math
import os
import pathlib
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from milan_jax._src.errors import UserError

# By NumPy's dtype kind.
_WORDS = {"i": "integers", "u": "integers", "f": "floats", "b": "booleans"}


def open_npy(
  path: str | os.PathLike[str],
  *,
  kinds: str = "iufb",
  shape: Sequence[int | None] | None = None,
  remedy: str = "make it again",
) -> np.ndarray:
  """Memory-maps the array of a `.npy` file, read-only.

  Args:
    path: the file.
    kinds: allowed dtype kinds, such as `iu` for integers.
    shape: required shape; None allows any length of an axis, or any shape.
    remedy: what to do about a damaged file, for the message.

  Raises:
    UserError: if the file is missing, damaged or truncated, or has another dtype or
      shape.
  """
  path = pathlib.Path(path)
  try:
    with path.open("rb") as file:
      found, order, dtype = _header(file)
      offset, size = file.tell(), os.fstat(file.fileno()).st_size
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing: {remedy}.") from error
  except Exception as error:  # NumPy evaluates headers as Python, which can raise any
    raise UserError(f"{path} is corrupt ({_first_line(error)}): {remedy}.") from error
  needed = math.prod(found) * dtype.itemsize
  if size - offset != needed:
    raise UserError(
      f"{path} is corrupt: its header gives {dtype} of shape {found}, {needed:,} bytes,"
      f" but the file has {size - offset:,}: {remedy}."
    )
  _check(path, found, dtype, kinds, shape, remedy)
  if not needed:
    return np.empty(found, dtype)
  return np.memmap(path, dtype, "r", offset, found, "F" if order else "C")


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads all arrays of an `.npz` file; rejects arrays of Python objects.

  Raises:
    UserError: if the file is missing or damaged.
  """
  path = pathlib.Path(path)
  arrays = {}
  try:
    with path.open("rb") as opened, zipfile.ZipFile(opened) as archive:
      for entry in archive.infolist():
        with archive.open(entry) as file:
          shape, _, dtype = _header(file)
          needed = math.prod(shape) * dtype.itemsize
          if entry.file_size - file.tell() != needed:
            raise ValueError(
              f"the header of {entry.filename} requires {needed:,} bytes, but it has "
              f"{entry.file_size - file.tell():,}"
            )
        with archive.open(entry) as file:
          name = entry.filename.removesuffix(".npy")
          arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
          if file.read(1):  # reaching the end also verifies the checksum
            raise ValueError(f"{entry.filename} is longer than its array")
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing.") from error
  except Exception as error:  # the zip and npy readers raise many kinds
    raise UserError(
      f"{path} is not a readable .npz file ({_first_line(error)})."
    ) from error
  return arrays


def _header(file: IO[bytes] | zipfile.ZipExtFile) -> tuple[Any, bool, np.dtype]:
  """Reads the shape, whether the order is Fortran, and the dtype."""
  version = np.lib.format.read_magic(file)
  if version == (1, 0):
    found = np.lib.format.read_array_header_1_0(file)
  elif version == (2, 0):
    found = np.lib.format.read_array_header_2_0(file)
  else:
    raise ValueError(f"unsupported format version {version}")
  shape, order, dtype = found
  if dtype.hasobject:
    raise ValueError("it holds Python objects")
  if any(length < 0 for length in shape):
    raise ValueError(f"its header has the invalid shape {shape}")
  return shape, order, dtype


def _check(
  path: pathlib.Path,
  found: tuple[int, ...],
  dtype: np.dtype,
  kinds: str,
  shape: Sequence[int | None] | None,
  remedy: str,
) -> None:
  fits = shape is None or (
    len(shape) == len(found)
    and all(want in (None, length) for want, length in zip(shape, found, strict=True))
  )
  if dtype.kind not in kinds or not dtype.isnative or not fits:
    words = " or ".join(dict.fromkeys(_WORDS.get(kind, kind) for kind in kinds))
    lengths = ", ".join("any" if one is None else str(one) for one in shape or ())
    of = f" of shape ({lengths})" if shape is not None else ""
    raise UserError(
      f"{path}: expected {words}{of}, found {dtype} of shape {found}: {remedy}."
    )


def _first_line(error: Exception) -> str:
  lines = str(error).strip().splitlines()
  return lines[0] if lines else type(error).__name__


def check_values(
  path: pathlib.Path,
  values: np.ndarray,
  fits: np.ndarray,
  expected: str,
  *,
  remedy: str,
) -> None:
  """Raises UserError with the first value of a file that does not fit.

  Args:
    path: the file.
    values: what it holds.
    fits: which of the values are valid.
    expected: what was expected, for the message.
    remedy: what to do, for the message.
  """
  if not fits.all():
    index = tuple(np.argwhere(~fits)[0].tolist())
    raise UserError(
      f"{path}: expected {expected}, found {values[index]} at {list(index)}: {remedy}."
    )
