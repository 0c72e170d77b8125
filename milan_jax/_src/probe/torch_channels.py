"""Infers the number of image channels of a torch module. Needs the extra `torch`."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from milan_jax._src.images.sizes import Size, sides
from milan_jax._src.probe.torch_pixels import module_dtype

_COLORS = 3


class _FirstLayerError(BaseException):
  """Stops at the first layer, with the input channels that it got and takes."""

  def __init__(self, found: int, wanted: int):
    super().__init__(found, wanted)
    self.found, self.wanted = found, wanted


class _StopAtFirstLayer(TorchFunctionMode):
  """Stops at the first convolution or linear layer of a model."""

  def __torch_function__(
    self,
    func: Callable[..., Any],
    types: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
  ) -> Any:
    del types
    given = {**dict(zip(("input", "weight"), args, strict=False)), **(kwargs or {})}
    if func in (torch.conv2d, functional.linear):
      inputs, weight = given["input"], given["weight"]
      if func is functional.linear:
        raise _FirstLayerError(inputs.shape[-1], weight.shape[1])
      groups = given.get("groups", args[6] if len(args) > 6 else 1)
      raise _FirstLayerError(inputs.shape[-3], weight.shape[1] * groups)
    return func(*args, **(kwargs or {}))


def infer_channels(module: torch.nn.Module, size: Size, device: str) -> int | None:
  """Infers the channels of a module's images from its first layer.

  Moves the module to the device and puts it into evaluation mode.

  Args:
    module: takes images `(batch, channels, height, width)`.
    size: size of its images.
    device: device to run on.

  Returns:
    The number; None if it cannot be inferred.
  """
  module = module.to(device).eval()
  first = _first_layer(module, _COLORS, size, device)
  if first is None:
    return None
  found, wanted = first
  # The model may add channels, or move pixels to channels, before the first layer.
  candidates = [_COLORS, _COLORS + wanted - found]
  if _COLORS * wanted % found == 0:
    candidates.append(_COLORS * wanted // found)
  for channels in candidates:
    if channels > 0:
      found, wanted = _first_layer(module, channels, size, device) or (0, 1)
      if found == wanted:
        return channels
  return None


def _first_layer(
  module: torch.nn.Module, channels: int, size: Size, device: str
) -> tuple[int, int] | None:
  images: Any = torch.zeros(
    (1, channels, *sides(size)), dtype=module_dtype(module), device=device
  )
  try:
    with torch.no_grad(), _StopAtFirstLayer():
      module(images)
  except _FirstLayerError as layer:
    return layer.found, layer.wanted
  except Exception:  # an error of the user's model, which its trial reports better
    return None
  return None
