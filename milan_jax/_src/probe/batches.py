"""Batches of the sizes that a model takes, whatever comes in."""

from collections.abc import Callable, Mapping

import numpy as np


def run_in_batches(
  run: Callable[[np.ndarray], Mapping[str, np.ndarray]],
  inputs: np.ndarray,
  *,
  fewest: int = 1,
  most: int | None = None,
) -> dict[str, np.ndarray]:
  """Runs a model on parts of a batch; a part that is too small is filled up.

  Args:
    run: takes inputs, and returns arrays that have one row for each of them.
    inputs: the batch first; at least one.
    fewest: inputs that the model takes at once.
    most: the same; None: any number.

  Returns:
    The arrays for all inputs.
  """
  most = most or max(len(inputs), fewest)
  if fewest <= len(inputs) <= most:
    return dict(run(inputs))
  parts = []
  for start in range(0, len(inputs), most):
    part = inputs[start : start + most]
    filling = np.repeat(part[-1:], max(fewest - len(part), 0), axis=0)
    arrays = run(np.concatenate([part, filling]) if len(filling) else part)
    parts.append({name: array[: len(part)] for name, array in arrays.items()})
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
