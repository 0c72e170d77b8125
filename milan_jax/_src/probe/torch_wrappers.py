"""Unwraps torch modules, so that hooks can read their submodules."""

import torch
from torch import nn

from milan_jax._src.errors import UserError

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_COMPILED = "_orig_mod"


def unwrap_module(module: nn.Module, name: str) -> nn.Module:
  """The module inside `torch.compile` and inside parallel wrappers, at any depth.

  A compiled module would be traced again for every set of hooks; uncompiled it returns
  the same values.

  Args:
    module: the model; its compiled submodules are replaced in place.
    name: the model's name in messages.

  Raises:
    UserError: if it is a TorchScript module, which has no hooks.
  """
  while True:
    if isinstance(module, torch.jit.ScriptModule):
      raise UserError(
        f"--model={name} is a TorchScript module (torch.jit.script or trace), whose "
        "layers cannot be read: give the original module, or the program that "
        "torch.export.export creates from it."
      )
    if isinstance(module, _PARALLEL):
      module = module.module
    elif _COMPILED in module._modules:
      module = module._modules[_COMPILED]  # type: ignore[assignment]
    else:
      break
  module._compiled_call_impl = None  # set by `module.compile()`
  for child_name, child in module._modules.items():
    if child is not None and not isinstance(child, torch.jit.ScriptModule):
      module._modules[child_name] = unwrap_module(child, name)
  return module
