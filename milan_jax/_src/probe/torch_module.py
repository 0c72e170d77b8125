"""Any `torch.nn.Module`, read by forward hooks. Needs the extra `torch`."""

import functools
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8

from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.images.sizes import Size
from milan_jax._src.probe.batch_sizes import Arrays
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import TRIAL_BATCH, check_images
from milan_jax._src.probe.torch_layers import (
  TorchLayers,
  TorchLayersProbe,
  image_layers,
)
from milan_jax._src.probe.torch_outputs import ModuleOutputs
from milan_jax._src.probe.torch_pixels import Pixels, module_dtype


class TorchProbe(TorchLayersProbe):
  """Reads the outputs of a module's submodules, named as in `ModuleOutputs`.

  Moves the module to the device and puts it into evaluation mode.

  Args:
    module: the model; takes images `(batch, channels, height, width)` in the dtype of
      its weights.
    image_size: size of the images, in pixels.
    mean: subtracted from each channel, on the scale of 0 to 255; ImageNet's by default.
      Its length is the number of channels.
    std: each channel is then divided by it, on the scale of 0 to 255.
    device: device to run on.
    layouts: layouts of layers by name or glob, which override the guess.
    special: number of leading tokens that are not patches, if known.
    before_clip: whether the outputs of `nn.ReLU6` and `nn.Hardtanh` are read before
      their upper clip, which makes an exemplar's strongest positions equal.
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
    self._pixels = Pixels(mean, std, dtype=module_dtype(module), device=device)
    self.image_size = image_size
    self._channels = len(mean)
    self._layouts = layouts
    self._special = special

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> Arrays:
    """The outputs of submodules, as float32.

    Raises:
      UserError: if the images are not uint8 of its channels; if a name is not a
        submodule, or the submodule does not run or does not return a tensor of
        positions and units.
    """
    check_images(images, self.channels)
    found = self._layers  # first: its trial may change the memory format of pixels
    return found.activations([self._pixels(images)], layers)

  @functools.cached_property
  def _layers(self) -> TorchLayers:  # type: ignore[override]
    images = self.trial_images(TRIAL_BATCH)
    return image_layers(
      self._outputs, self._pixels, images, self._layouts, self._special
    )
