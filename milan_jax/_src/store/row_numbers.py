"""Checks of the layers and rows that the readers of exemplars are asked for."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError


def check_layer(layer: str, layers: Iterable[str], of: str) -> None:
  """Raises UserError if there is no such layer.

  Args:
    layer: its name.
    layers: the names that there are.
    of: what is of the layers, for the message.
  """
  known = list(layers)
  if layer not in known:
    raise UserError(f"There is no layer {layer!r}; the {of} are of {', '.join(known)}.")


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
