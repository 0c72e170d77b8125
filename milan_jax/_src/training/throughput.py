"""How fast a model trains: seconds, captions and operations, by step."""

import math
import time
from typing import Any, NamedTuple

import jax

from milan_jax._src.training import batches, losses, state
from milan_jax._src.training import step as steps

# Largest operations per second of one device, dense bfloat16 products, by the name that
# JAX gives the device. Source: the vendors' data sheets.
PEAKS = {
  "NVIDIA A100-SXM4-40GB": 312e12,
  "NVIDIA A100-SXM4-80GB": 312e12,
  "NVIDIA H100 80GB HBM3": 989e12,
  "NVIDIA H200": 989e12,
  "TPU v4": 275e12,
  "TPU v5 lite": 197e12,
  "TPU v5": 459e12,
  "TPU v6 lite": 918e12,
}


class Rates(NamedTuple):
  """The speed of training since `Meter.start`.

  Attributes:
    seconds: wall time, compilation included.
    step_seconds: mean wall time of a step.
    flops_per_second: floating-point operations of matrix products per second, over all
      devices.
    mfu: the same as a fraction of the devices' peak in bfloat16; None if it is unknown.
  """

  seconds: float
  step_seconds: float
  flops_per_second: float
  mfu: float | None


class Meter:
  """Counts the steps of one model and their operations."""

  def __init__(self, step: steps.Step, mesh: jax.sharding.Mesh) -> None:
    """Counts nothing yet.

    Args:
      step: the compiled training step.
      mesh: the devices that it runs on.
    """
    self._step = step
    peak = PEAKS.get(mesh.devices.flat[0].device_kind)
    self._peak = None if peak is None else peak * mesh.size
    self._known: dict[tuple[int, ...], float] = {}
    self.start()

  def start(self) -> None:
    """Starts to count at zero."""
    self._began, self._steps, self._flops = time.monotonic(), 0, 0.0

  def count(
    self, train_state: state.TrainState, so_far: losses.Terms, batch: batches.Batch
  ) -> None:
    """Counts a step, which is traced once for each shape of its batch."""
    shape = batch.inputs.shape
    if shape not in self._known:
      traced = jax.make_jaxpr(self._step)(train_state, so_far, batch)
      self._known[shape] = product_flops(traced.jaxpr)
    self._steps += 1
    self._flops += self._known[shape]

  def read(self) -> Rates:
    """Returns the rates; the device must have finished the steps."""
    seconds = time.monotonic() - self._began
    rate = self._flops / seconds
    return Rates(
      seconds,
      seconds / max(1, self._steps),
      rate,
      None if self._peak is None else rate / self._peak,
    )


def product_flops(jaxpr: Any) -> float:
  """Returns the floating-point operations of the matrix products of a program.

  The compiler's own count is not used, because it counts the body of a loop once. Here
  a scan's body counts as often as it runs; of the branches of a condition, the largest
  counts. Loops without a known length count once.

  Args:
    jaxpr: the program, as `jax.make_jaxpr(f)(...).jaxpr`.
  """
  total = 0.0
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
      (contracted, _), _ = params["dimension_numbers"]
      left = equation.invars[0].aval.shape
      size = math.prod(left[axis] for axis in contracted)
      total += 2.0 * size * math.prod(equation.outvars[0].aval.shape)
      continue
    inner = [product_flops(each) for each in _programs_of(params)]
    if name == "scan":
      total += params["length"] * sum(inner)
    elif name == "cond":
      total += max(inner)
    else:
      total += sum(inner)
  return total


def _programs_of(params: dict[str, Any]) -> list[Any]:
  """Returns the programs among the parameters of an operation."""
  found = []
  for value in params.values():
    for each in value if isinstance(value, tuple | list) else (value,):
      each = getattr(each, "jaxpr", each)
      if hasattr(each, "eqns"):
        found.append(each)
  return found
