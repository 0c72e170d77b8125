"""Vision backbones in Flax Linen, NHWC, that return activations by layer name."""

from milan_jax.models.backbones.registry import (
  Backbone,
  Params,
  Preprocessing,
  backbone,
  backbone_names,
)
from milan_jax.models.backbones.state_dict import params_from_state_dict

__all__ = [
  "Backbone",
  "Params",
  "Preprocessing",
  "backbone",
  "backbone_names",
  "params_from_state_dict",
]
