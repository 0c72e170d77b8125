"""Torch modules that make images of latents, such as GANs. Needs torch, an extra."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.probe.latent_inputs import (
  arguments_of,
  image_side,
  to_colors,
  trial_inputs,
)
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import TRIAL_BATCH
from milan_jax._src.probe.torch_calls import tensors_in
from milan_jax._src.probe.torch_layers import TorchLayers, TorchLayersProbe
from milan_jax._src.probe.torch_outputs import ModuleOutputs
from milan_jax._src.probe.torch_pixels import own_dtype


class TorchGenerator(TorchLayersProbe):
  """The images that a module makes, and the outputs of its submodules.

  The module is moved to the device and put into evaluation mode. Its layers are named
  as those of `TorchProbe`.

  Args:
    module: takes latents `(batch, *latent_shape)`, in the type of its weights, and
      classes, int64 `(batch,)`, if it has any; returns images, `(batch, 3, height,
      width)`, or several things of which they are the first.
    latent_shape: shape of one latent.
    classes: whether it takes classes.
    image_range: the values of black and of white in its images.
    device: where the module runs.
    layouts: of layers by name or glob, where the guess would be wrong.
    before_clip: whether clipped layers are read before their upper clip.

  Raises:
    UserError: if it makes no images in color.
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
    self._dtype = own_dtype(module)
    trial = trial_inputs(self._latent_shape, classes=classes, batch=TRIAL_BATCH)
    outputs = ModuleOutputs(self._module, before_clip=before_clip)
    try:
      self.image_size = image_side(self._made(trial).shape, TRIAL_BATCH)
      self._layers = TorchLayers(outputs, self._arguments(trial), layouts)
    except UserError:
      raise
    except Exception as error:  # whatever the user's model raises
      raise UserError(
        f"The generator does not run on latents of shape {self._latent_shape}"
        f"{' and classes' if classes else ''} ({type(error).__name__}: {error}): "
        "expected a module that makes images of them."
      ) from error

  def activations(
    self, inputs: np.ndarray, layers: tuple[str, ...]
  ) -> dict[str, np.ndarray]:
    """What the submodules return, as float32.

    Args:
      inputs: records of a `latent`, and of a `class` if the module takes classes.
      layers: names among those of `layers()`.

    Raises:
      UserError: if a name is not a layer, or the records are of another kind.
    """
    return self._layers.activations(self._arguments(inputs), layers)

  def images(self, inputs: np.ndarray) -> UInt8[np.ndarray, "batch height width 3"]:
    """The images that the module makes of records, RGB, 0 to 255."""
    return to_colors(self._made(inputs), self._image_range)

  def _made(self, inputs: np.ndarray) -> np.ndarray:
    """What the module makes, colors last."""
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
    arrays = arguments_of(inputs, self._latent_shape, classes=self._classes)
    latents, *classes = (torch.from_numpy(one).to(self._device) for one in arrays)
    return [latents.to(self._dtype), *classes]
