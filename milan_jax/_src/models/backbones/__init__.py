"""Vision backbones in Flax Linen, NHWC, that return activations by layer name."""

from milan_jax._src.models.backbones.registry import (
  Backbone,
  Params,
  backbone,
  backbone_names,
)
from milan_jax._src.models.backbones.state_dict import (
  has_head,
  params_from_state_dict,
  weight_names,
)

__all__ = [
  "Backbone",
  "Params",
  "backbone",
  "backbone_names",
  "has_head",
  "params_from_state_dict",
  "weight_names",
]
