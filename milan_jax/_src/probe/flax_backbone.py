"""The probe of the backbones in `milan_jax._src.models.backbones`."""

import re
from collections.abc import Mapping, Sequence

import jax
from jaxtyping import Array

from milan_jax._src.images.sizes import Size
from milan_jax._src.models.backbones.registry import Backbone, Params
from milan_jax._src.probe.jax_model import JaxProbe

# `act1` is `bn1` followed by a ReLU6.
_ACTIVATION = re.compile(r"(^|\.)act(?=\d$)")


class FlaxProbe(JaxProbe):
  """A backbone with its weights.

  Args:
    backbone: the network.
    params: its weights; the classifier may have any number of classes, or be missing,
      and then its layers are missing too.
    image_size: size of the images in pixels; None takes the backbone's default.
    devices: devices to run on; None takes all of this process.
    before_clip: whether efficientnet-lite's activations (`act0`, `blocks.3.act1`) are
      read before the clip at 6, so that large values still differ.
  """

  # Tests cover its layouts and its independence of the batch, so no trial is needed.
  is_known = True

  def __init__(
    self,
    backbone: Backbone,
    params: Params,
    image_size: Size | None = None,
    devices: Sequence[jax.Device] | None = None,
    before_clip: bool = True,
  ):
    backbone = backbone.fitted(params)
    clipped = before_clip and backbone.name.startswith("efficientnet-lite")

    def run(
      params: Params, images: Array, layers: tuple[str, ...] | None
    ) -> Mapping[str, Array]:
      names = backbone.layer_names if layers is None else layers
      inputs = {name: _ACTIVATION.sub(r"\1bn", name) for name in names if clipped}
      inputs = {name: source for name, source in inputs.items() if source != name}
      wanted = dict.fromkeys(inputs.get(name, name) for name in names)
      found = backbone.apply(params, images, tuple(wanted))
      return {
        name: jax.nn.relu(found[inputs[name]]) if name in inputs else found[name]
        for name in names
      }

    super().__init__(
      run, params, backbone.preprocessing, image_size=image_size, devices=devices
    )
    self._backbone = backbone
    self._clipped = clipped

  def notes(self) -> Mapping[str, str]:
    """Remarks on how layers are read, by layer name."""
    names = self._backbone.layer_names if self._clipped else ()
    return {name: "before its clip at 6" for name in names if _ACTIVATION.search(name)}

  def array_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Shape of each layer's array for a batch, in the order of execution."""
    shapes = self._backbone.shapes(self._backbone.layer_names, self.image_size)
    return {name: (batch, *shape) for name, shape in shapes.items()}
