"""What decoding takes, counted: arithmetic and bytes, from the rows that a search took.

Products alone are counted: all else is a few percent. A multiplication and an
addition are two operations.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from milan_jax._src.decoding.program import Costs, Weights


class WorkCounts(NamedTuple):
  """Of a batch, over all devices.

  Attributes:
    needed_flop: operations on rows that were needed.
    computed_flop: with those on rows that only filled a chunk.
    moved_bytes: weights, once a chunk, and what goes in and out of the products.
      An estimate: what stays in a cache between two uses is counted as moved.
  """

  needed_flop: float
  computed_flop: float
  moved_bytes: float


@dataclasses.dataclass(frozen=True)
class _Product:
  """A product of rows with a kernel: its sizes and the kernel's bytes."""

  inputs: int
  outputs: int
  weight_bytes: int

  @classmethod
  def by(cls, kernel: Array) -> "_Product":
    inputs, outputs = kernel.shape
    return cls(inputs, outputs, kernel.size * kernel.dtype.itemsize)

  def flop(self, rows: int) -> float:
    return 2.0 * self.inputs * self.outputs * rows

  def moved(self, rows: int, chunks: int) -> float:
    return self.weight_bytes * chunks + 4.0 * (self.inputs + self.outputs) * rows


def count_work(weights: Weights, costs: Costs, *, units: int, k: int) -> WorkCounts:
  """Counts what the rows of `costs` took.

  Args:
    weights: both models' parameters as decoding has them.
    costs: rows of each model and part, a row of counts a device.
    units: units decoded.
    k: regions of a unit.
  """
  captioner = weights.captioner
  prepare = [_Product.by(captioner.state), _Product.by(captioner.context)]
  parts: list[Any] = [(prepare, [], [_Product.by(captioner.output)], costs.captioner)]
  lm = weights.language_model
  if lm is not None and costs.language_model is not None:
    parts.append(
      (
        [_Product.by(kernel) for kernel in lm.hiddens],
        [_Product.by(kernel) for kernel in lm.inputs],
        [_Product.by(lm.output)],
        costs.language_model,
      )
    )
  start, key = _Product.by(captioner.start), _Product.by(captioner.key)
  flop = start.flop(units) + key.flop(units * k)
  moved = start.moved(units, 1) + key.moved(units * k, 1)
  needed, computed = flop, flop
  for *stages, work in parts:
    rows = [np.asarray(counts).sum(axis=0).tolist() for counts in work]
    for stage, need, did, chunks in zip(stages, *rows, strict=True):
      needed += sum(product.flop(need) for product in stage)
      computed += sum(product.flop(did) for product in stage)
      moved += sum(product.moved(did, chunks) for product in stage)
  # Attention reads the keys and features of each row's unit.
  attention, features = captioner.key.shape[1], captioner.context.shape[0]
  prepared = float(np.asarray(costs.captioner.computed).sum(axis=0)[0])
  return WorkCounts(
    needed, computed, moved + 4.0 * k * (attention + features) * prepared
  )
