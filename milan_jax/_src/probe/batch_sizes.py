"""Splits or pads batches to the sizes that a model takes."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import numpy as np

# One array per layer.
Arrays = dict[str, np.ndarray | jax.Array]
_Array = TypeVar("_Array", np.ndarray, np.ndarray | jax.Array)


def run_in_batches(
  run: Callable[[np.ndarray], Mapping[str, _Array]],
  inputs: np.ndarray,
  *,
  min_size: int = 1,
  max_size: int | None = None,
) -> dict[str, _Array]:
  """Runs a model on parts of a batch; pads a part that is too small.

  Args:
    run: takes inputs and returns arrays with one row per input.
    inputs: at least one; the first axis is the batch.
    min_size: smallest batch that the model takes.
    max_size: largest batch that the model takes; None for no limit.

  Returns:
    The arrays for all inputs.
  """
  max_size = max_size or max(len(inputs), min_size)
  if min_size <= len(inputs) <= max_size:
    return dict(run(inputs))
  parts = []
  for start in range(0, len(inputs), max_size):
    part = inputs[start : start + max_size]
    padding = np.repeat(part[-1:], max(min_size - len(part), 0), axis=0)
    arrays = run(np.concatenate([part, padding]) if len(padding) else part)
    parts.append({name: array[: len(part)] for name, array in arrays.items()})
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
