"""Models by name: `package.module:name` of one, or of a function that makes one."""

import importlib
import inspect
import sys
from typing import Any, NamedTuple

from milan_jax._src.errors import UserError


class NamedObject(NamedTuple):
  """What a name stands for.

  Attributes:
    model: the model.
    made: whether the name is that of a factory, which made it.
  """

  model: Any
  made: bool


def named_model(name: str) -> NamedObject:
  """Imports what a name stands for, and calls it if it is a function without arguments.

  Args:
    name: `package.module:name`; the current folder is looked through too.

  Raises:
    UserError: if there is no such thing, or making it fails.
  """
  place, _, attribute = name.partition(":")
  if "" not in sys.path:
    sys.path.append("")  # an installed command does not look in the current folder
  try:
    found = getattr(importlib.import_module(place), attribute)
  except Exception as error:  # also whatever the user's own file raises
    raise UserError(
      f"--model={name}: expected package.module:name of a model or of a function that "
      f"returns one; {type(error).__name__}: {error}."
    ) from error
  if not (inspect.isfunction(found) or inspect.isclass(found)) or _needs_more(found):
    return NamedObject(found, made=False)
  try:
    return NamedObject(found(), made=True)
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f"--model={name}: making the model failed: {type(error).__name__}: {error}."
    ) from error


def _needs_more(function: Any) -> bool:
  """Whether a function cannot be called without arguments."""
  try:
    parameters = inspect.signature(function).parameters.values()
  except ValueError:  # built in, and silent about itself
    return True
  required = (parameter.default is inspect.Parameter.empty for parameter in parameters)
  kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  return any(
    needed and parameter.kind not in kinds
    for needed, parameter in zip(required, parameters, strict=True)
  )
