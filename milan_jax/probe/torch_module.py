"""Any `torch.nn.Module`, read by forward hooks. Needs torch, an extra."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import UInt8

from milan_jax.errors import UserError
from milan_jax.probe.layout import Layout, to_places
from milan_jax.probe.readings import layouts_of, read_shapes
from milan_jax.records import LayerShape

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class TorchProbe:
  """The outputs of a module's submodules, under their dotted names.

  The module is put into evaluation mode. Images go in as channels last in memory, which
  convolutions keep, so that activations come out in our layout without a copy.

  A layer's activations are what its module returns, even where the next module works in
  place, as `nn.ReLU(inplace=True)` after a batch norm does: where that is seen to
  happen, and only there, the output is copied before it is overwritten.

  Args:
    module: the model; an image of `image_size` goes in, as `(batch, 3, size, size)`.
    image_size: side of the images, in pixels.
    mean: subtracted from each colour, in units of 0 to 255; ImageNet's by default.
    std: each colour is divided by it, in units of 0 to 255.
    device: where the model runs.
    layouts: of layers by name or glob, where the guess would be wrong.
  """

  def __init__(
    self,
    module: torch.nn.Module,
    image_size: int,
    *,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    device: str = "cpu",
    layouts: Mapping[str, Layout] | None = None,
  ):
    self._module = module.to(device).eval()
    self._image_size = image_size
    self._mean = torch.tensor(mean, device=device)[:, None, None]
    self._std = torch.tensor(std, device=device)[:, None, None]
    self._layouts = layouts
    self._overwritten: set[str] = set()
    self._shapes: tuple[LayerShape, ...] | None = None

  @property
  def image_size(self) -> int:
    """Side of the square images that the model takes, in pixels."""
    return self._image_size

  @property
  def num_devices(self) -> int:
    """Devices that a batch is spread over."""
    return 1

  def layers(self) -> tuple[LayerShape, ...]:
    """Every submodule that returns a tensor of places and units, as it is run."""
    if self._shapes is None:
      images = np.zeros((2, self._image_size, self._image_size, 3), np.uint8)
      names = [name for name, _ in self._module.named_modules() if name]
      arrays = {}
      for name, output in self._outputs(images, names).items():
        tensor = _tensor(output.value)
        if tensor is not None and tensor.is_floating_point():
          arrays[name] = tuple(tensor.shape)
      self._shapes = read_shapes(
        arrays, len(images), convolution="NCHW", layouts=self._layouts
      )
    return self._shapes

  def activations(
    self, images: UInt8[np.ndarray, "batch size size 3"], layers: tuple[str, ...]
  ) -> dict[str, np.ndarray]:
    """The submodules' outputs.

    Raises:
      UserError: if a name is no submodule, its module is not run, or what it returns is
        no tensor of places and units.
    """
    known = dict(self._module.named_modules())
    for name in layers:
      if name not in known:
        raise UserError(f"The model has no module {name!r}.")
    outputs = self._outputs(images, layers)
    spoiled = {name for name, output in outputs.items() if output.overwritten}
    if spoiled:
      self._overwritten |= spoiled
      outputs = self._outputs(images, layers)
    found, layouts = {}, layouts_of(self.layers())
    for name in layers:
      if name not in outputs:
        raise UserError(f"Module {name} is not run for an image: choose another.")
      tensor = _tensor(outputs[name].value)
      if tensor is None:
        raise UserError(
          f"Module {name} returns {type(outputs[name].value).__name__}, not a tensor."
        )
      if name not in layouts:
        raise UserError(
          f"Module {name} returns a tensor of shape {tuple(tensor.shape)}, and nothing "
          f"tells which axes are places and units: set --layouts, such as {name}=NLC."
        )
      found[name] = np.asarray(
        to_places(_to_numpy(tensor), name, layouts[name], batch=len(images))
      )
    return found

  def _outputs(
    self, images: UInt8[np.ndarray, "batch size size 3"], layers: "list | tuple"
  ) -> "dict[str, _Output]":
    outputs: dict[str, _Output] = {}

    def keep(name: str) -> Callable:
      def hook(_module, _inputs, value):
        outputs[name] = _Output.of(value, copy=name in self._overwritten)

      return hook

    # The channels-last pixels of a torch image are our own, permuted.
    pixels = torch.from_numpy(images).to(self._mean.device).permute(0, 3, 1, 2)
    with torch.no_grad(), _hooks(self._module, {name: keep(name) for name in layers}):
      self._module((pixels.float() - self._mean) / self._std)
    return outputs


@dataclasses.dataclass(frozen=True, slots=True)
class _Output:
  """What a module returned, and the version of its memory when it did."""

  value: object
  version: int

  @classmethod
  def of(cls, value: object, *, copy: bool) -> "_Output":
    tensor = _tensor(value)
    if tensor is None:
      return cls(value, 0)
    tensor = tensor.clone() if copy else tensor
    return cls(tensor, tensor._version)

  @property
  def overwritten(self) -> bool:
    """Whether a later module worked in place on it; views share their version."""
    tensor = _tensor(self.value)
    return tensor is not None and tensor._version != self.version


@contextmanager
def _hooks(module: torch.nn.Module, hooks: Mapping[str, Callable]) -> Iterator[None]:
  """Listens to submodules, and is gone afterwards."""
  handles = []
  try:
    for name, hook in hooks.items():
      handles.append(module.get_submodule(name).register_forward_hook(hook))
    yield
  finally:
    for handle in handles:
      handle.remove()


def _tensor(value: object) -> torch.Tensor | None:
  """The tensor that a module returned, or the first of several."""
  if isinstance(value, tuple | list) and value:
    value = value[0]
  return value if isinstance(value, torch.Tensor) else None


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
  # DLPack hands the memory over as it is, strides included.
  return np.from_dlpack(tensor.detach().float().cpu())
