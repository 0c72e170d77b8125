"""Our own backbones."""

from collections.abc import Mapping, Sequence

import jax
from jaxtyping import Array

from milan_jax.models.backbones.registry import Backbone, Params
from milan_jax.probe.jax_model import JaxProbe


class FlaxProbe(JaxProbe):
  """A backbone with its weights.

  Args:
    backbone: the network.
    params: its weights; the classifier may be missing, whose layers are listed but
      cannot be run then.
    image_size: side of the images in pixels; None takes the backbone's own.
    devices: what to run on; None takes all of this process.
  """

  def __init__(
    self,
    backbone: Backbone,
    params: Params,
    image_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
  ):
    def run(
      params: Params, images: Array, layers: tuple[str, ...] | None
    ) -> Mapping[str, Array]:
      names = backbone.layer_names if layers is None else layers
      return backbone.apply(params, images, names)

    super().__init__(
      run, params, backbone.preprocessing, image_size=image_size, devices=devices
    )
    self._backbone = backbone

  def array_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Shape of what each layer gives for a batch, in the order of execution."""
    shapes = self._backbone.shapes(self._backbone.layer_names, self._image_size)
    return {name: (batch, *shape) for name, shape in shapes.items()}
