"""From a wrapped torch module to the module inside, whose parts hooks can read."""

import torch
from torch import nn

from milan_jax._src.errors import UserError

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_COMPILED = "_orig_mod"


def plain_module(module: nn.Module, name: str) -> nn.Module:
  """The module inside `torch.compile` and inside parallel wrappers, at any depth.

  What is compiled would be traced again for every set of hooks, and gives the same
  numbers uncompiled.

  Args:
    module: the model; compiled parts of it are replaced in place.
    name: what to call it in messages.

  Raises:
    UserError: if it is a TorchScript module, which has no hooks.
  """
  while True:
    if isinstance(module, torch.jit.ScriptModule):
      raise UserError(
        f"--model={name} is a TorchScript module (torch.jit.script or trace), whose "
        "layers cannot be read: give the module that it was made of, or the program "
        "that torch.export.export makes of that."
      )
    if isinstance(module, _PARALLEL):
      module = module.module
    elif _COMPILED in module._modules:
      module = module._modules[_COMPILED]  # type: ignore[assignment]
    else:
      break
  module._compiled_call_impl = None  # of `module.compile()`
  for child_name, child in module._modules.items():
    if child is not None and not isinstance(child, torch.jit.ScriptModule):
      module._modules[child_name] = plain_module(child, name)
  return module
