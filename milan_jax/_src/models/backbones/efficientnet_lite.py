"""EfficientNet-Lite: no squeeze and excitation, ReLU6, stem and head of fixed width.

Layers have the names of the released weights without their leading underscores. `bn0`,
`bn1`, `blocks.N.bn0` and `blocks.N.bn1` are the values before the clip to [0, 6];
`act0`, `act1` and so on are the values after it. Probe the batch norms: after the clip,
many units saturate at 6, where images cannot be ranked.

The weights were trained with TensorFlow and need its padding. On 500 photographs, one
for every second ImageNet class, Lite0's accuracy is 87.0 % with TensorFlow's padding
and 80.4 % with torch's.
"""

import math
from functools import partial

import flax.linen as nn
from jaxtyping import Array

from milan_jax._src.models.backbones.parts import (
  AveragePool,
  BatchNorm,
  Conv,
  Dropout,
  Linear,
  Maps,
  Outputs,
  Relu,
  Sequential,
  flatten,
)

_Norm = partial(BatchNorm, 1e-3)
_Clip = partial(Relu, 6.0)
# Number of blocks, kernel size, stride of the first block, expansion, features.
_STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)


class InvertedResidual(nn.Module):
  """Expansion, depthwise convolution and projection, with no ReLU on the output."""

  features: int
  size: int
  stride: int
  expansion: int

  @nn.compact
  def __call__(self, inputs: Maps) -> Outputs:
    maps = inputs
    width = self.expansion * inputs.shape[-1]
    if self.expansion > 1:
      maps = Conv(width, 1, name="expand_conv")(maps)
      maps = _Clip(name="act0")(_Norm(name="bn0")(maps))
    maps = Conv(
      width,
      self.size,
      stride=self.stride,
      padding="same",
      groups=width,
      name="depthwise_conv",
    )(maps)
    maps = _Clip(name="act1")(_Norm(name="bn1")(maps))
    maps = Conv(self.features, 1, name="project_conv")(maps)
    maps = _Norm(name="bn2")(maps)
    if maps.shape == inputs.shape:
      maps = maps + inputs
    return maps


def _stages(width: float, depth: float) -> tuple[tuple[int, int, int, int, int], ...]:
  """Scales `_STAGES`; the first and last stage keep their number of blocks."""
  last = len(_STAGES) - 1
  return tuple(
    (
      repeats if place in (0, last) else math.ceil(depth * repeats),
      size,
      stride,
      expansion,
      _rounded(width * features),
    )
    for place, (repeats, size, stride, expansion, features) in enumerate(_STAGES)
  )


def _rounded(features: float) -> int:
  """Rounds to the nearest multiple of 8, or up if that loses more than a tenth."""
  nearest = int(features + 4) // 8 * 8
  return nearest if nearest >= 0.9 * features else nearest + 8


class EfficientNetLite(nn.Module):
  """EfficientNet-Lite0, or wider and deeper.

  Attributes:
    num_classes: number of outputs of the classifier; None for no classifier.
    width: multiplies the number of features of each block.
    depth: multiplies the number of blocks of each stage.

  Source: Tan and Le 2019, and the Lite variant of TensorFlow's TPU models.
  """

  num_classes: int | None = 1000
  width: float = 1.0
  depth: float = 1.0

  @nn.compact
  def __call__(self, images: Maps) -> Array:
    maps = Conv(32, 3, stride=2, padding="same", name="conv_stem")(images)
    maps = _Clip(name="act0")(_Norm(name="bn0")(maps))
    blocks = tuple(
      partial(InvertedResidual, features, size, stride if index == 0 else 1, expansion)
      for repeats, size, stride, expansion, features in _stages(self.width, self.depth)
      for index in range(repeats)
    )
    maps = Sequential(blocks, name="blocks")(maps)
    maps = Conv(1280, 1, name="conv_head")(maps)
    maps = _Clip(name="act1")(_Norm(name="bn1")(maps))
    maps = AveragePool(1, name="avg_pooling")(maps)
    if self.num_classes is None:
      return maps
    vectors = Dropout(name="dropout")(flatten(maps))
    return Linear(self.num_classes, name="fc")(vectors)
