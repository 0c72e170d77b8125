"""Loads weights of torch modules, and chooses a device."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from milan_jax._src.errors import UserError
from milan_jax._src.runs.memory import share_device_memory
from milan_jax._src.weights.state_dicts import check_floats


def weight_names(module: torch.nn.Module) -> tuple[str, ...]:
  """Names of a module's weights, as expected in a state dict."""
  return tuple(module.state_dict())


def load_weights(
  module: torch.nn.Module, state_dict: Mapping[str, np.ndarray], name: str
) -> None:
  """Loads weights into a module.

  Args:
    module: the module, modified in place.
    state_dict: arrays by the module's own names.
    name: the module's name in messages.

  Raises:
    UserError: if the weights do not fit it, in names, shapes or kinds of numbers.
  """
  tensors = {
    key: torch.from_numpy(np.array(value)) for key, value in state_dict.items()
  }
  _match_tied(module, tensors, name)
  own = module.named_parameters(remove_duplicate=False)
  check_floats(
    state_dict, {key for key, one in own if one.dtype.is_floating_point}, name
  )
  try:
    # Weights of a module on the meta device have no memory to copy to.
    module.load_state_dict(
      tensors, assign=any(map(_is_uninitialized, _tensors_of(module)))
    )
  except RuntimeError as error:
    mismatches = _mismatches(module.state_dict(), tensors) or " ".join(
      str(error).split()
    )
    raise UserError(
      f"--weights do not fit {name}: {mismatches}. Save the state dict of this exact "
      "model."
    ) from error


def _match_tied(
  module: torch.nn.Module, tensors: dict[str, torch.Tensor], name: str
) -> None:
  """Adds a tensor that the module has under several names, and the file under one.

  safetensors saves only one of them.

  Raises:
    UserError: if the file has different tensors under these names, of which torch would
      take the last.
  """
  own = module.state_dict(keep_vars=True)
  names: dict[int, str] = {}
  for key in filter(tensors.__contains__, own):
    first = names.setdefault(id(own[key]), key)
    pair = tensors[first], tensors[key]
    if first != key and not np.array_equal(*pair, equal_nan=True):
      raise UserError(
        f"--weights do not fit {name}: {first} and {key} are one tensor in the model, "
        "but differ in the file: create the model without tied weights."
      )
  for key, tensor in own.items():
    if key not in tensors and id(tensor) in names:
      tensors[key] = tensors[names[id(tensor)]]


def check_weights(module: torch.nn.Module, name: str) -> None:
  """Checks that a module's weights are in memory.

  Args:
    module: the model.
    name: the model's name in messages.

  Raises:
    UserError: if a weight is on torch's meta device, or a lazy module is uninitialized.
  """
  uninitialized = [
    key
    for key, tensor in (*module.named_parameters(), *module.named_buffers())
    if _is_uninitialized(tensor)
  ]
  if uninitialized:
    raise UserError(
      f"--model={name} has {len(uninitialized)} weights that are not in memory, such "
      f"as {uninitialized[0]} (on the meta device, or of a lazy module): load them "
      "where the model is created, or give them with --weights."
    )


def _tensors_of(module: torch.nn.Module) -> Iterator[torch.Tensor]:
  yield from module.parameters()
  yield from module.buffers()


def _is_uninitialized(tensor: torch.Tensor) -> bool:
  return tensor.is_meta or torch.nn.parameter.is_lazy(tensor)


def _mismatches(
  own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]
) -> str:
  """Mismatched names and shapes, a few of each kind; empty if there are none."""
  # torch fills in missing batch counters.
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
  """The device for torch modules, whose memory JAX is then to share.

  Args:
    wanted: such as `cpu` or `cuda:1`; empty for a GPU if there is one.

  Raises:
    UserError: if this machine has no such device.
  """
  share_device_memory()
  if not wanted:
    return "cuda" if torch.cuda.is_available() else "cpu"
  try:
    torch.zeros(1, device=wanted)
  except Exception as error:  # of several kinds, depending on what is missing
    raise UserError(
      f"--torch_device={wanted}: expected a device that torch has here, such as cpu "
      f"({str(error).splitlines()[0]})."
    ) from error
  return wanted
