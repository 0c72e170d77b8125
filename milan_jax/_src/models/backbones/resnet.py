"""Residual networks, as torchvision has them."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from milan_jax._src.models import lowering
from milan_jax._src.models.backbones.parts import (
  AveragePool,
  BatchNorm,
  Conv,
  Linear,
  Maps,
  MaxPool,
  Outputs,
  Relu,
  Sequential,
  flatten,
)

_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
  """Two 3 x 3 convolutions with a shortcut.

  Its `relu` is called twice. The layer `relu` is the output of the last call, which is
  the block's output.
  """

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, inputs: Maps) -> Outputs:
    relu = Relu(name="relu")
    maps = Conv(self.width, 3, stride=self.stride, padding=1, name="conv1")(inputs)
    maps = relu(BatchNorm(name="bn1")(maps))
    maps = Conv(self.width, 3, padding=1, name="conv2")(maps)
    maps = BatchNorm(name="bn2")(maps)
    return relu(maps + _shortcut(inputs, self.width, self.stride))


class Bottleneck(nn.Module):
  """Convolutions of 1 x 1, 3 x 3 and 1 x 1, with a shortcut.

  The last convolution is four times as wide as the others, and the 3 x 3 convolution
  has the stride. `relu` is called three times. The layer `relu` is the output of the
  last call, which is the block's output.
  """

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, inputs: Maps) -> Outputs:
    relu = Relu(name="relu")
    maps = Conv(self.width, 1, name="conv1")(inputs)
    maps = relu(BatchNorm(name="bn1")(maps))
    maps = Conv(self.width, 3, stride=self.stride, padding=1, name="conv2")(maps)
    maps = relu(BatchNorm(name="bn2")(maps))
    maps = Conv(4 * self.width, 1, name="conv3")(maps)
    maps = BatchNorm(name="bn3")(maps)
    return relu(maps + _shortcut(inputs, 4 * self.width, self.stride))


def _shortcut(inputs: Array, features: int, stride: int) -> Array:
  """Returns the input, projected if its shape differs from the output's."""
  if stride == 1 and inputs.shape[-1] == features:
    return inputs
  parts = (partial(Conv, features, 1, stride=stride), BatchNorm)
  return Sequential(parts, name="downsample")(inputs)


class Stage(nn.Module):
  """Residual blocks in sequence; they are named `0`, `1` and so on.

  All but the first keep the shape of their input. Where `lowering.use_loops` allows it,
  they are computed in a loop.

  Attributes:
    block: type of the blocks.
    width: width of the blocks.
    stride: stride of the first block.
    depth: number of blocks.
  """

  block: type[BasicBlock] | type[Bottleneck]
  width: int
  stride: int
  depth: int

  @nn.compact
  def __call__(self, inputs: Maps) -> Outputs:
    maps = self.block(self.width, self.stride, name="0")(inputs)

    def may_loop(place: int) -> bool:
      return lowering.may_loop((*self.path, str(place)))

    for loop, run in itertools.groupby(range(1, self.depth), may_loop):
      places = list(run)
      if loop and len(places) > 1:
        maps = self._in_a_loop(places, maps)
      else:
        for place in places:
          maps = self.block(self.width, name=str(place))(maps)
    return maps

  def _in_a_loop(self, places: list[int], inputs: Maps) -> Maps:
    params = [self.variables["params"][str(place)] for place in places]
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *params)
    block = self.block(self.width, parent=None)

    def step(maps: Array, own: Mapping[str, Any]) -> tuple[Any, None]:
      return block.apply({"params": own}, maps), None

    outputs: Array = jax.lax.scan(step, inputs, stacked)[0]
    return outputs


class ResNet(nn.Module):
  """A stem and four stages of residual blocks.

  Attributes:
    block: type of the blocks.
    depths: number of blocks of each stage.
    num_classes: number of outputs of the classifier; None for no classifier.

  Source: He et al. 2016.
  """

  block: type[BasicBlock] | type[Bottleneck]
  depths: tuple[int, ...]
  num_classes: int | None = 1000

  @nn.compact
  def __call__(self, images: Maps) -> Array:
    maps = Conv(64, 7, stride=2, padding=3, name="conv1")(images)
    maps = Relu(name="relu")(BatchNorm(name="bn1")(maps))
    maps = MaxPool(3, 2, padding=1, name="maxpool")(maps)
    for index, (width, depth) in enumerate(zip(_WIDTHS, self.depths, strict=True)):
      stride = 1 if index == 0 else 2
      stage = Stage(self.block, width, stride, depth, name=f"layer{index + 1}")
      maps = stage(maps)
    maps = AveragePool(1, name="avgpool")(maps)
    if self.num_classes is None:
      return maps
    return Linear(self.num_classes, name="fc")(flatten(maps))
