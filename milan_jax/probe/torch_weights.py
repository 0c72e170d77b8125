"""What a torch module needs before it is probed: weights, and a device."""

from collections.abc import Mapping

import numpy as np
import torch

from milan_jax.errors import UserError


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
    message = " ".join(str(error).split())
    raise UserError(f"--weights do not fit {name}: {message}") from error


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
