"""Checks of the rows that the readers of exemplars are asked for."""

from typing import Any

import numpy as np

from milan_jax._src.errors import UserError


def row_numbers(rows: Any, size: int, of: str) -> np.ndarray:
  """Rows as an array.

  Args:
    rows: a list or an array of whole numbers.
    size: how many rows there are.
    of: what is in the rows, for the message.

  Raises:
    UserError: `rows` are not whole numbers from 0 to `size` - 1.
  """
  found = np.asarray(rows)
  if found.ndim < 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
    raise UserError(
      f"{of}: expected a list or an array of whole numbers; found {rows!r}."
    )
  found = found.astype(np.int64)
  outside = found[(found < 0) | (found >= size)]
  if outside.size:
    raise UserError(f"{of}: expected 0 to {size - 1}; found {outside[0]}.")
  return found
