"""The rule of precision: products of float32 are in full float32, on every device.

By default a GPU rounds the operands of a product of float32 to 10 bits, and a TPU to 7.
Here nothing rounds unless an option asks for it (`--precision`,
`--encoder_precision`), and a default that the caller set in JAX does not matter: each
product names its precision, or is traced inside a function that `full_float32` wraps.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def full_float32(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
  """Makes products in full float32 where a function does not name another precision.

  A function that is compiled is wrapped first: `jax.jit(full_float32(function))`. The
  rule is then part of the program, however it is traced, called or lowered.
  """

  @functools.wraps(function)
  def wrapped(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
    with jax.default_matmul_precision("highest"):
      return function(*args, **kwargs)

  return wrapped
