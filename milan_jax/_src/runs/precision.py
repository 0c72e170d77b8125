"""The precision rule: float32 products are in full float32 on every device.

By default a GPU rounds the operands of a float32 product to 10 bits, and a TPU to 7.
milan-jax does not round unless an option requests it (`--precision`,
`--encoder_precision`), independent of JAX's default precision: each product sets its
precision, or is traced inside a function that `full_float32` wraps.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def full_float32(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
  """Computes a function's products in full float32 unless they set a precision.

  Wrap a function before it is compiled: `jax.jit(full_float32(function))`. The rule is
  then part of the program, for any way of tracing, calling or lowering it.
  """

  @functools.wraps(function)
  def wrapped(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
    with jax.default_matmul_precision("highest"):
      return function(*args, **kwargs)

  return wrapped
