"""Counts the arithmetic and memory traffic of decoding, from the rows of a search.

Only matrix products are counted; everything else is a few percent. A multiplication and
an addition are two operations.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from milan_jax._src.decoding.program import Costs
from milan_jax._src.decoding.weights import Weights
from milan_jax._src.models.products import Kernel
from milan_jax._src.models.transformer import TransformerWeights


class WorkCounts(NamedTuple):
  """The work of a batch, summed over all devices.

  Attributes:
    needed_flop: operations on rows that the search needed.
    computed_flop: `needed_flop` plus the operations on padding rows of chunks.
    moved_bytes: the weights once per chunk, and the inputs and outputs of the products.
      An estimate: it ignores reuse in caches.
  """

  needed_flop: float
  computed_flop: float
  moved_bytes: float


@dataclasses.dataclass(frozen=True)
class _Product:
  """A product of rows with a kernel: its shape and the kernel's bytes."""

  inputs: int
  outputs: int
  weight_bytes: int

  @classmethod
  def by(cls, kernel: Kernel) -> "_Product":
    inputs, outputs = kernel.shape
    return cls(inputs, outputs, kernel.size * kernel.dtype.itemsize)

  def flop(self, rows: int) -> float:
    return 2.0 * self.inputs * self.outputs * rows

  def moved(self, rows: int, chunks: int) -> float:
    return self.weight_bytes * chunks + 4.0 * (self.inputs + self.outputs) * rows


def count_work(weights: Weights, costs: Costs, *, units: int, k: int) -> WorkCounts:
  """Counts the work of the rows in `costs`.

  Args:
    weights: both models' parameters in the layout of the decoder.
    costs: numbers of rows for each model and part, one row of counts per device.
    units: number of decoded units.
    k: number of regions per unit.
  """
  captioner = weights.captioner
  prepare = [_Product.by(captioner.state), _Product.by(captioner.context)]
  parts: list[Any] = [(prepare, [], [_Product.by(captioner.output)], costs.captioner)]
  lm = weights.language_model
  if costs.language_model is None:
    lm = None
  if isinstance(lm, TransformerWeights):
    kernels = [
      kernel
      for name, kernel in flatten_dict(lm.params).items()
      if name[-1] == "kernel" and name[0] != "output"
    ]
    read = [_Product.by(kernel) for kernel in kernels]
    output = [_Product.by(lm.params["output"]["kernel"])]
    parts.append(([], read, output, costs.language_model))
  elif lm is not None:
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
