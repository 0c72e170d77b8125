"""Torch modules that generate images, such as GANs. Needs the extra `torch`."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.probe.batch_sizes import Arrays
from milan_jax._src.probe.latent_inputs import (
  generated_size,
  generator_arguments,
  to_rgb_pixels,
  trial_inputs,
)
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import TRIAL_BATCH
from milan_jax._src.probe.torch_calls import tensors_in
from milan_jax._src.probe.torch_layers import TorchLayers, TorchLayersProbe
from milan_jax._src.probe.torch_outputs import ModuleOutputs
from milan_jax._src.probe.torch_pixels import module_dtype


class TorchGenerator(TorchLayersProbe):
  """Reads the images that a module generates, and the outputs of its submodules.

  Moves the module to the device and puts it into evaluation mode. Layers are named as
  in `TorchProbe`.

  Args:
    module: takes latents `(batch, *latent_shape)` in the dtype of its weights, and
      classes, int64 `(batch,)`, if it is class-conditional; returns images, `(batch, 3,
      height, width)`, or a sequence or dictionary that starts with them.
    latent_shape: shape of one latent.
    classes: whether it is class-conditional.
    image_range: the values of black and white in its images.
    device: device to run on.
    layouts: layouts of layers by name or glob, which override the guess.
    before_clip: whether clipped layers are read before their upper clip.

  Raises:
    UserError: if it does not run, or does not return RGB or gray images.
  """

  def __init__(
    self,
    module: torch.nn.Module,
    latent_shape: tuple[int, ...],
    *,
    classes: bool = False,
    image_range: tuple[float, float] = (-1.0, 1.0),
    device: str = "cpu",
    layouts: Mapping[str, Layout] | None = None,
    before_clip: bool = True,
  ):
    self._module = module.to(device).eval()
    self._latent_shape = tuple(latent_shape)
    self._classes = classes
    self._image_range = image_range
    self._device = device
    self._dtype = module_dtype(module)
    trial = trial_inputs(self._latent_shape, classes=classes, batch=TRIAL_BATCH)
    outputs = ModuleOutputs(self._module, before_clip=before_clip)
    try:
      self.image_size = generated_size(self._generate(trial).shape, TRIAL_BATCH)
      self._layers = TorchLayers(outputs, self._arguments(trial), layouts)
    except UserError:
      raise
    except Exception as error:  # any error of the user's model
      raise UserError(
        "The generator does not run on latents of shape "
        f"{self._latent_shape}{' and classes' if classes else ''} "
        f"({type(error).__name__}: {error}): expected a module that generates images "
        "from them."
      ) from error

  def activations(self, inputs: np.ndarray, layers: tuple[str, ...]) -> Arrays:
    """The outputs of submodules, as float32.

    Args:
      inputs: records of a `latent`, and of a `class` if the module is
        class-conditional.
      layers: names from `layers()`.

    Raises:
      UserError: if a name is not a layer, or the records have other fields or shapes.
    """
    return self._layers.activations(self._arguments(inputs), layers)

  def images(self, inputs: np.ndarray) -> UInt8[np.ndarray, "batch height width 3"]:
    """The images that the module generates from records, RGB, 0 to 255."""
    return to_rgb_pixels(self._generate(inputs), self._image_range)

  def _generate(self, inputs: np.ndarray) -> np.ndarray:
    """The module's images, channels last."""
    with torch.no_grad():
      value = self._module(*self._arguments(inputs))
    images = next((tensor for _, tensor in tensors_in(value)), None)
    if images is None or images.ndim != 4:
      found = type(value).__name__ if images is None else tuple(images.shape)
      raise UserError(
        f"The generator returns {found}: expected images, (batch, 3, height, width)."
      )
    return images.permute(0, 2, 3, 1).float().cpu().numpy()

  def _arguments(self, inputs: np.ndarray) -> list[torch.Tensor]:
    arrays = generator_arguments(inputs, self._latent_shape, classes=self._classes)
    latents, *classes = (torch.from_numpy(one).to(self._device) for one in arrays)
    return [latents.to(self._dtype), *classes]
