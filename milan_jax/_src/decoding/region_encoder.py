"""The region encoder of a release, ready to run."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from milan_jax._src.models import lowering
from milan_jax._src.models.backbones import backbone, params_from_state_dict
from milan_jax._src.models.encoder import Pyramid
from milan_jax._src.models.region_features import Pooling, feature_blocks
from milan_jax._src.store.release import INCLUDED, EncoderSpec
from milan_jax._src.weights.packaged_weights import packaged_weights
from milan_jax._src.weights.state_dicts import read_state_dict


@dataclasses.dataclass(frozen=True)
class RegionEncoder:
  """A backbone that gives the pyramids which regions are pooled from.

  Attributes:
    encode: gives a batch of images their pyramids; compiled once per shape.
    blocks: number of features in each block of a region's: those of each level, and
      with the pooling "placed" those of its geometry.
    pooling: what a region's features are.

  Example:
    >>> captioner.encoder.feature_size == captioner.release.feature_size
    True
  """

  encode: Callable[[UInt8[np.ndarray, "batch height width 3"]], Pyramid]
  blocks: tuple[int, ...]
  pooling: Pooling = "inside"

  @property
  def feature_size(self) -> int:
    """Size of a region's features."""
    return sum(self.blocks)


def encoder_params(
  spec: EncoderSpec, params: Any | None, *, remedy: str = "give --encoder_weights"
) -> Any:
  """The parameters of the encoder that a release names.

  Args:
    spec: what the release says of it.
    params: the backbone's parameters, where the release includes them.
    remedy: what else a user can do who lacks the package with the weights.

  Raises:
    UserError: the weights come in a package that is not installed.
  """
  if spec.weights == INCLUDED:
    return params
  state_dict = read_state_dict(packaged_weights(spec.backbone, remedy=remedy))
  return params_from_state_dict(spec.backbone, state_dict)


def encode_by(spec: EncoderSpec, *, rounding: lowering.Rounding = "float32") -> Any:
  """Returns the program that encodes images.

  Args:
    spec: backbone, levels and normalization.
    rounding: how the backbone's products round their operands.

  Returns:
    A jitted function of the backbone's parameters and a batch of images, as uint8. It
    is compiled with the lowering that is current when it is traced.
  """
  network = backbone(spec.backbone)
  mean = np.asarray(spec.mean, np.float32)[None, None, None]
  std = np.asarray(spec.std, np.float32)[None, None, None]

  @jax.jit
  def encode(params: Any, images: UInt8[Array, "batch height width 3"]) -> Pyramid:
    floats = (images.astype(jnp.float32) / 255 - mean) / std
    with lowering.use_rounding(rounding):
      activations = network.apply(params, floats, spec.levels)
    return tuple(activations[level] for level in spec.levels)

  return encode


def region_encoder(
  spec: EncoderSpec, params: Any | None, *, rounding: lowering.Rounding = "float32"
) -> RegionEncoder:
  """Builds the encoder that a release names.

  Args:
    spec: backbone, levels and normalization.
    params: the backbone's parameters, if they are at hand.
    rounding: how the backbone's products round their operands.

  Raises:
    UserError: the weights come in a package that is not installed.
  """
  if params is None:
    params = encoder_params(spec, params)
  params = jax.tree.map(jnp.asarray, params)
  encode = encode_by(spec, rounding=rounding)
  # Any image does: the number of channels does not depend on its size.
  image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.uint8)
  levels = jax.eval_shape(encode, params, image)
  channels = [level.shape[-1] for level in levels]
  pooling = cast(Pooling, spec.pooling)
  return RegionEncoder(
    encode=lambda images: encode(params, jnp.asarray(images)),
    blocks=feature_blocks(channels, pooling),
    pooling=pooling,
  )
