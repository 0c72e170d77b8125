"""What a function of the user's returned, as activations by name."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.errors import UserError

# The name of an array that has none.
OUTPUT = "output"
# What a message shows; the example of docs/probing.md is longer.
EXAMPLE = """\
def network(images):
  maps = jnp.tanh(images @ weights)
  return {"maps": maps, "means": maps.mean((1, 2))}"""


def named_activations(returned: Any) -> dict[str, Any]:
  """Names the arrays that a function returned, in its order.

  An array alone is `output`, those of a list or tuple are `output.0`, `output.1`. Those
  of a dictionary have their keys; inside others, keys and indices are joined by dots. A
  named tuple and a dataclass are read as dictionaries of their fields. What is not
  an array of real numbers is left out.

  Args:
    returned: by the function; arrays of any framework, or what JAX traces.

  Returns:
    Arrays of floating numbers: integers and truths become float32.

  Raises:
    UserError: if there is no array of real numbers, or two go by one name.
  """
  found: dict[str, Any] = {}
  others: list[str] = []
  for path, array in _arrays(returned):
    if not _is_real(array.dtype):
      others.append(str(array.dtype))
      continue
    # At the top, only a dictionary names its arrays.
    named = path and not isinstance(path[0], int)
    name = ".".join(map(str, path if named else (OUTPUT, *path)))
    if name in found:
      raise UserError(
        f"Two of the arrays that the function returns go by the name {name!r}: rename "
        "one."
      )
    found[name] = _as_floats(array)
  if not found:
    what = f"an array of {others[0]}" if others else _kind(returned)
    raise UserError(expected(f"returns {what}"))
  return found


def expected(fault: str) -> str:
  """The message of a function that cannot be read, with an example of one that can.

  Args:
    fault: what the function does, such as `returns None`.
  """
  return (
    f"The function {fault}: return arrays of real numbers whose first axis is the "
    f"images, best by name, as in\n{EXAMPLE}"
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
  """An array of JAX or numpy, whatever framework it is of."""
  if isinstance(array, jax.Array | np.ndarray | np.generic):
    return array
  for step in ("detach", "cpu"):  # torch's, which may want gradients or be elsewhere
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
