"""Our own backbones: normalised and run in one compiled call of a fixed batch shape."""

import functools

import jax
import numpy as np
from jaxtyping import Array, UInt8

from milan_jax.models.backbones.registry import Backbone, Params
from milan_jax.probe.layout import Layout, to_places
from milan_jax.probe.protocol import Activations
from milan_jax.probe.readings import read_shapes
from milan_jax.records import LayerShape


class FlaxProbe:
  """A backbone with its weights.

  One batch size compiles once: fill up a smaller batch.

  Args:
    backbone: the network.
    params: its weights.
    image_size: side of the images in pixels; None takes the backbone's own.
  """

  def __init__(self, backbone: Backbone, params: Params, image_size: int | None = None):
    self._backbone = backbone
    self._params = params
    self._image_size = image_size or backbone.preprocessing.crop

  @property
  def image_size(self) -> int:
    """Side of the square images that the network takes, in pixels."""
    return self._image_size

  @property
  def num_devices(self) -> int:
    """Devices that a batch is spread over."""
    return 1

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer, in the network's order."""
    names = self._backbone.layer_names
    shapes = self._backbone.shapes(names, self._image_size)
    arrays = {name: (1, *shape) for name, shape in shapes.items()}
    return read_shapes(arrays, 1, convolution="NHWC")

  def activations(
    self, images: UInt8[np.ndarray, "batch size size 3"], layers: tuple[str, ...]
  ) -> Activations:
    """Activations of some layers, in the network's own units."""
    return _activations(self._backbone, self._params, images, layers)


@functools.partial(jax.jit, static_argnames=("backbone", "layers"))
def _activations(
  backbone: Backbone, params: Params, images: Array, layers: tuple[str, ...]
) -> Activations:
  found = backbone.apply(params, backbone.normalise(images), layers)
  batch = len(images)
  return {
    name: to_places(
      found[name], name, Layout("NC" if found[name].ndim == 2 else "NHWC"), batch=batch
    )
    for name in layers
  }
