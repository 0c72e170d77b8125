"""What a torch module needs before it is probed: weights, and a device."""

from collections.abc import Mapping

import numpy as np
import torch

from milan_jax.errors import UserError


def weight_names(module: torch.nn.Module) -> tuple[str, ...]:
  """Names of a module's weights, as a state dict should have them."""
  return tuple(module.state_dict())


def load_weights(
  module: torch.nn.Module, state_dict: Mapping[str, np.ndarray], name: str
) -> None:
  """Loads weights into a module.

  Args:
    module: changed in place.
    state_dict: arrays by the module's own names.
    name: what to call the module in messages.

  Raises:
    UserError: if the weights do not fit it.
  """
  tensors = {
    key: torch.from_numpy(np.array(value)) for key, value in state_dict.items()
  }
  try:
    module.load_state_dict(tensors)
  except RuntimeError as error:
    faults = _faults(module.state_dict(), tensors) or " ".join(str(error).split())
    raise UserError(
      f"--weights do not fit {name}: {faults}. Save the state dict of this very model."
    ) from error


def _faults(own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str:
  """What does not fit, a few names of each kind; empty if names and shapes do."""
  # Those of modules that never counted batches are made up by torch.
  needed = [key for key in own if not key.endswith(".num_batches_tracked")]
  kinds = {
    "missing": [key for key in needed if key not in found],
    "not the model's": [key for key in found if key not in own],
    "of another shape": [
      f"{key} {tuple(found[key].shape)} for {tuple(own[key].shape)}"
      for key in needed
      if key in found and found[key].shape != own[key].shape
    ],
  }
  return "; ".join(
    f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
    for kind, keys in kinds.items()
    if keys
  )


def torch_device(wanted: str = "") -> str:
  """Where torch modules run.

  Args:
    wanted: such as `cpu` or `cuda:1`; empty for a GPU if there is one.

  Raises:
    UserError: if there is no such device here.
  """
  if not wanted:
    return "cuda" if torch.cuda.is_available() else "cpu"
  try:
    torch.zeros(1, device=wanted)
  except Exception as error:  # of several kinds, by what is missing
    raise UserError(
      f"--torch_device={wanted}: expected a device that torch has here, such as cpu "
      f"({str(error).splitlines()[0]})."
    ) from error
  return wanted
