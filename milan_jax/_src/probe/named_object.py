"""Imports models by `package.module:name`, and calls factories."""

import importlib
import inspect
import sys
from typing import Any, NamedTuple

from milan_jax._src.errors import UserError


class NamedModel(NamedTuple):
  """The result of `named_model`.

  Attributes:
    model: the model.
    is_factory: whether the name is a factory, which created the model.
  """

  model: Any
  is_factory: bool


def named_model(name: str) -> NamedModel:
  """Imports an object by name, and calls it if it is a function without arguments.

  Args:
    name: `package.module:name`; the current folder is also on the import path.

  Raises:
    UserError: if there is no such object, or the factory fails.
  """
  place, _, attribute = name.partition(":")
  if "" not in sys.path:
    sys.path.append("")  # installed commands do not search the current folder
  try:
    found = getattr(importlib.import_module(place), attribute)
  except Exception as error:  # also errors raised by the user's own file
    raise UserError(
      f"--model={name}: expected package.module:name of a model or of a function that "
      f"returns one; {type(error).__name__}: {error}."
    ) from error
  if not (inspect.isfunction(found) or inspect.isclass(found)) or _needs_more(found):
    return NamedModel(found, is_factory=False)
  try:
    return NamedModel(found(), is_factory=True)
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f"--model={name}: creating the model failed: {type(error).__name__}: {error}."
    ) from error


def _needs_more(function: Any) -> bool:
  """Whether a function cannot be called without arguments."""
  try:
    parameters = inspect.signature(function).parameters.values()
  except ValueError:  # a built-in without a signature
    return True
  required = (parameter.default is inspect.Parameter.empty for parameter in parameters)
  kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  return any(
    needed and parameter.kind not in kinds
    for needed, parameter in zip(required, parameters, strict=True)
  )
