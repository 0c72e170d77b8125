"""The encoder of a training run, and the key of its features."""

import itertools
from typing import Any

from milan_jax._src.decoding.features import FEATURES_VERSION
from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.models.backbones import (
  backbone,
  params_from_state_dict,
  weight_names,
)
from milan_jax._src.options.train import EncoderOptions
from milan_jax._src.probe.jax_model import named_arrays
from milan_jax._src.probe.unit_selection import select_layers
from milan_jax._src.runs.progress import say
from milan_jax._src.store.feature_records import FeatureKey
from milan_jax._src.store.release import INCLUDED, EncoderSpec, Params
from milan_jax._src.weights.packaged_weights import package_of
from milan_jax._src.weights.state_dicts import read_state_dict


def trained_encoder(model: EncoderOptions) -> tuple[EncoderSpec, Params | None]:
  """Returns the encoder and, unless a package contains them, its parameters.

  Raises:
    UserError: if there are no weights, or they do not fit the network.
  """
  name, weights, layers = model.encoder, model.encoder_weights, model.encoder_layers
  network = backbone(name)
  levels = network.default_layers
  if layers:
    levels = select_layers(network.layer_names, layers)
  package = None if weights else package_of(name)
  if not package and not weights:
    raise UserError(
      f"--encoder={name}: no package contains its weights; give its state dict "
      "(.pth, .pt or .safetensors) with --encoder_weights."
    )
  params: Params | None = None
  if weights:
    state_dict = read_state_dict(weights, weight_names(name), say=say)
    params = dict(params_from_state_dict(name, state_dict, head=False))
  spec = EncoderSpec(
    name,
    tuple(levels),
    tuple(value / 255 for value in network.preprocessing.mean),
    tuple(value / 255 for value in network.preprocessing.std),
    package or INCLUDED,
    pooling=model.pooling,
  )
  return spec, params


def feature_key(spec: EncoderSpec, params: Any) -> FeatureKey:
  """Returns what features depend on besides the exemplars.

  Args:
    spec: the encoder.
    params: its parameters, from any source.
  """
  parts = ((name, array) for name, array in named_arrays(params))
  return FeatureKey(
    encoder={
      "backbone": spec.backbone,
      "levels": list(spec.levels),
      "mean": list(spec.mean),
      "std": list(spec.std),
      "pooling": spec.pooling,
    },
    parameters=sha256_of(itertools.chain.from_iterable(parts)),
    version=FEATURES_VERSION,
  )
