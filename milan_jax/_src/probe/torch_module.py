"""Any `torch.nn.Module`, read by forward hooks. Needs torch, an extra."""

import functools
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8

from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.images.sizes import Size
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import TRIAL_BATCH
from milan_jax._src.probe.torch_layers import (
  TorchLayers,
  TorchLayersProbe,
  image_layers,
)
from milan_jax._src.probe.torch_outputs import ModuleOutputs
from milan_jax._src.probe.torch_pixels import Pixels, own_dtype


class TorchProbe(TorchLayersProbe):
  """The outputs of a module's submodules, under the names of `ModuleOutputs`.

  The module is moved to the device and put into evaluation mode.

  Args:
    module: the model; an image of `image_size` goes in, as `(batch, 3, height, width)`,
      in the type of its weights.
    image_size: of the images, in pixels.
    mean: subtracted from each color, in units of 0 to 255; ImageNet's by default.
      There are as many channels as numbers.
    std: each color is divided by it, in units of 0 to 255.
    device: where the model runs.
    layouts: of layers by name or glob, where the guess would be wrong.
    special: tokens in front that are not patches, where the model's kind tells.
    before_clip: whether the outputs of `nn.ReLU6` and `nn.Hardtanh` are read before
      their upper clip, which makes an exemplar's best positions all alike.
  """

  def __init__(
    self,
    module: torch.nn.Module,
    image_size: Size,
    *,
    mean: tuple[float, ...] = TORCHVISION.mean,
    std: tuple[float, ...] = TORCHVISION.std,
    device: str = "cpu",
    layouts: Mapping[str, Layout] | None = None,
    special: int | None = None,
    before_clip: bool = True,
  ):
    module = module.to(device).eval()
    self._module = module
    self._outputs = ModuleOutputs(module, before_clip=before_clip)
    self._pixels = Pixels(mean, std, dtype=own_dtype(module), device=device)
    self.image_size = image_size
    self._channels = len(mean)
    self._layouts = layouts
    self._special = special

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> dict[str, np.ndarray]:
    """What the submodules return, as float32.

    Raises:
      UserError: if a name is not a submodule, its module is not run, or it does not
        return a tensor of positions and units.
    """
    found = self._layers  # whose trial may change the order of pixels
    return found.activations([self._pixels(images)], layers)

  @functools.cached_property
  def _layers(self) -> TorchLayers:  # type: ignore[override]
    images = self.trial_images(TRIAL_BATCH)
    return image_layers(
      self._outputs, self._pixels, images, self._layouts, self._special
    )
