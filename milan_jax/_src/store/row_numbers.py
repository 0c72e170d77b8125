"""Checks of the layers and rows that the readers of exemplars are asked for."""

from collections.abc import Iterable, Sequence
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


def places(
  rows: Any, slots: Any, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
  """Rows and slots of some regions as arrays, one of each per region.

  Args:
    rows: a list or an array of whole numbers.
    slots: as `rows`.
    shape: how many units there are, and how many regions each has; what follows does
      not count.

  Raises:
    UserError: a number is out of range, or there are more rows than slots, or fewer.
  """
  units, k = shape[:2]
  rows, slots = row_numbers(rows, units, "rows"), row_numbers(slots, k, "slots")
  if rows.shape != slots.shape:
    raise UserError(
      f"slots: expected as many as there are rows, {rows.size}; found {slots.size}."
    )
  return rows, slots
