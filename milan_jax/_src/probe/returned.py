"""Names the activations that a user's function returned."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.errors import UserError

# The name of a single array without a name.
OUTPUT = "output"
# The example in messages; the one in docs/probing.md is longer.
EXAMPLE = """\
def network(images):
  maps = jnp.tanh(images @ weights)
  return {"maps": maps, "means": maps.mean((1, 2))}"""


def named_activations(returned: Any) -> dict[str, Any]:
  """Names the arrays that a function returned, in its order.

  A single array is named `output`, and items of a list or tuple `output.0`, `output.1`.
  Items of a dictionary are named by their keys; for nested containers, keys and indices
  are joined by dots. Named tuples and dataclasses are read as dictionaries of their
  fields. Everything but arrays of real numbers is ignored.

  Args:
    returned: the function's result; arrays of any framework, or JAX tracers.

  Returns:
    Floating-point arrays: integers and booleans become float32.

  Raises:
    UserError: if there is no array of real numbers, or two have the same name.
  """
  found: dict[str, Any] = {}
  others: list[str] = []
  for path, array in _arrays(returned):
    if not _is_real(array.dtype):
      others.append(str(array.dtype))
      continue
    # At the top level, only dictionaries name their arrays.
    named = path and not isinstance(path[0], int)
    name = ".".join(map(str, path if named else (OUTPUT, *path)))
    if name in found:
      raise UserError(
        f"Two of the arrays that the function returns have the name {name!r}: rename "
        "one."
      )
    found[name] = _as_floats(array)
  if not found:
    what = f"an array of {others[0]}" if others else _kind(returned)
    raise UserError(bad_result_message(f"returns {what}"))
  return found


def bad_result_message(fault: str) -> str:
  """The message for a function without readable results, with a valid example.

  Args:
    fault: what the function does, such as `returns None`.
  """
  return (
    f"The function {fault}: return arrays of real numbers whose first axis is the "
    f"batch, preferably in a dictionary, as in\n{EXAMPLE}"
  )


def _arrays(
  value: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
  if hasattr(value, "dtype") and hasattr(value, "shape"):
    yield path, _plain(value)
    return
  if hasattr(value, "_asdict"):
    value = value._asdict()
  elif dataclasses.is_dataclass(value) and not isinstance(value, type):
    names = (field.name for field in dataclasses.fields(value))
    value = {name: getattr(value, name) for name in names}
  if isinstance(value, Mapping):
    for key, one in value.items():
      yield from _arrays(one, (*path, str(key)))
  elif isinstance(value, list | tuple):
    for index, one in enumerate(value):
      yield from _arrays(one, (*path, index))


def _plain(array: Any) -> Any:
  """Converts an array of any framework to JAX or NumPy."""
  if isinstance(array, jax.Array | np.ndarray | np.generic):
    return array
  for step in ("detach", "cpu"):  # torch tensors with gradients or on a GPU
    array = getattr(array, step, lambda array=array: array)()
  return np.asarray(array)


def _is_real(kind: Any) -> bool:
  return any(
    jnp.issubdtype(kind, one) for one in (jnp.floating, jnp.integer, jnp.bool_)
  )


def _as_floats(array: Any) -> Any:
  floats = jnp.issubdtype(array.dtype, jnp.floating)
  return array if floats else array.astype(np.float32)


def _kind(returned: Any) -> str:
  if returned is None:
    return "None"
  kind = type(returned).__name__
  if isinstance(returned, Mapping | list | tuple):
    return f"a {kind} without arrays"
  return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
