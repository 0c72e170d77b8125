"""Torch modules by name: `package.module:name`."""

import importlib
import sys
from collections.abc import Mapping

import numpy as np
import torch

from milan_jax.errors import UserError


def torch_module(
  name: str, state_dict: Mapping[str, np.ndarray] | None = None
) -> torch.nn.Module:
  """Imports a torch module, or calls the function that returns one.

  Args:
    name: `package.module:name`.
    state_dict: weights to load into it; None leaves those that it has.

  Raises:
    UserError: if there is no such module, or the weights do not fit it.
  """
  place, _, attribute = name.partition(":")
  if "" not in sys.path:
    sys.path.append("")  # an installed command does not look in the current folder
  try:
    module = getattr(importlib.import_module(place), attribute)
  except (ImportError, AttributeError) as error:
    raise UserError(
      f"--model={name}: expected package.module:name of a torch module or of a "
      f"function that returns one; {error}."
    ) from error
  if callable(module) and not isinstance(module, torch.nn.Module):
    module = module()
  if not isinstance(module, torch.nn.Module):
    raise UserError(
      f"--model={name}: expected a torch.nn.Module, found a {type(module).__name__}."
    )
  if state_dict is not None:
    tensors = {
      key: torch.from_numpy(np.array(value)) for key, value in state_dict.items()
    }
    try:
      module.load_state_dict(tensors)
    except RuntimeError as error:
      message = " ".join(str(error).split())
      raise UserError(f"--weights do not fit {name}: {message}") from error
  return module
