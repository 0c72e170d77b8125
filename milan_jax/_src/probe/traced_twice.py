"""Detects functions that give JAX another program each time that it traces them."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


def traces_differ(function: Callable[..., Any], *arguments: Any) -> bool:
  """Whether two traces of a function have different constants.

  Such constants are random numbers or counters of Python or NumPy, which a compiled
  program would keep from one trace.

  Args:
    function: the function.
    arguments: its arguments, arrays or their shapes.
  """
  # New functions, because JAX does not trace the same one again.
  one, other = (
    jax.make_jaxpr(lambda *given: function(*given))(*arguments) for _ in range(2)
  )
  pairs = zip(_constants(one), _constants(other), strict=False)
  return not all(_is_same(*pair) for pair in pairs)


def _constants(program: Any) -> Iterator[Any]:
  """The constants of a program and of those inside it, in order."""
  if isinstance(program, ClosedJaxpr):
    yield from program.consts
    program = program.jaxpr
  for equation in program.eqns:
    yield from (one.val for one in equation.invars if isinstance(one, Literal))
    for value in equation.params.values():
      for part in value if isinstance(value, tuple | list) else (value,):
        if isinstance(part, ClosedJaxpr | Jaxpr):
          yield from _constants(part)


def _is_same(one: Any, other: Any) -> bool:
  if one is other:
    return True
  kind = getattr(one, "dtype", None)
  if kind is not None and not jnp.issubdtype(kind, np.number):
    return True  # such as random keys, which are made of numbers seen elsewhere
  return bool(np.array_equal(one, other, equal_nan=True))
