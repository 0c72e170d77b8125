"""Columns of numbers as text: little-endian arrays in base 64."""

import base64
from collections.abc import Iterable

import numpy as np


def encoded(data: bytes) -> str:
  """Returns bytes in base 64."""
  return base64.b64encode(data).decode("ascii")


def column(values: Iterable[int | float | None], kind: str) -> str:
  """Returns a column in base 64; unknown values are NaN, or -1 for whole numbers.

  Args:
    values: the numbers; None where unknown.
    kind: a NumPy dtype, such as `f4` or `u1`.
  """
  dtype = np.dtype(kind).newbyteorder("<")
  unknown = np.nan if dtype.kind == "f" else -1
  numbers = [unknown if value is None else value for value in values]
  return encoded(np.array(numbers, dtype).tobytes())
