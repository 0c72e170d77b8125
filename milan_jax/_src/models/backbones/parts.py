"""The building blocks of the backbones, named as in torchvision.

The activation of a part is the value that its `__call__` returns. Linen captures it
(`registry.Backbone.apply`), so networks need no code to return their layers. Kernels
are zero until `registry.Backbone.init` draws them.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from milan_jax._src.models import lowering

Maps = Float[Array, "batch height width channels"]
Outputs = Float[Array, "batch out_height out_width features"]
Part = Callable[..., nn.Module]


class Sequential(nn.Module):
  """Applies parts in sequence; they are named `0`, `1` and so on."""

  parts: tuple[Part, ...]

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    for index, part in enumerate(self.parts):
      inputs = part(name=str(index))(inputs)
    return inputs


class Conv(nn.Module):
  """Convolution, computed by `lowering.conv`.

  `padding` is a number of pixels on each side, as in torch, or TensorFlow's "same".
  """

  features: int
  size: int
  stride: int = 1
  padding: int | Literal["same"] = 0
  groups: int = 1
  bias: bool = False

  @nn.compact
  def __call__(self, inputs: Maps) -> Outputs:
    shape = (self.size, self.size, inputs.shape[-1] // self.groups, self.features)
    kernel = self.param("kernel", nn.initializers.zeros, shape)
    outputs = lowering.conv(
      inputs,
      kernel,
      stride=self.stride,
      padding=lowering.same_padding(inputs.shape[1:3], self.size, self.stride)
      if self.padding == "same"
      else self.padding,
      groups=self.groups,
    )
    if self.bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      outputs = outputs + bias[None, None, None]
    return outputs


class BatchNorm(nn.Module):
  """Batch normalization by the running statistics, which are parameters here.

  It is not folded into the preceding convolution, because the convolution's own output
  can then not be read. Folding is not faster: XLA fuses the normalization with the
  activation that follows.
  """

  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, inputs: Maps) -> Maps:
    shape = (inputs.shape[-1],)
    mean = self.param("mean", nn.initializers.zeros, shape)
    var = self.param("var", nn.initializers.ones, shape)
    scale = self.param("scale", nn.initializers.ones, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    factor = scale / jnp.sqrt(var + self.epsilon)
    centered = inputs - mean[None, None, None]
    return centered * factor[None, None, None] + bias[None, None, None]


class Linear(nn.Module):
  """Fully connected layer."""

  features: int

  @nn.compact
  def __call__(
    self, inputs: Float[Array, "batch channels"]
  ) -> Float[Array, "batch features"]:
    shape = (inputs.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.zeros, shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    return lowering.linear(inputs, kernel) + bias[None]


class Relu(nn.Module):
  """Clips values to at least 0, and to at most `max_value` if it is given."""

  max_value: float | None = None

  def __call__(self, inputs: Array) -> Array:
    return jnp.clip(inputs, 0, self.max_value)


class MaxPool(nn.Module):
  """Maximum over windows."""

  size: int
  stride: int
  padding: int = 0

  def __call__(self, inputs: Maps) -> Outputs:
    return lowering.max_pool(
      inputs, size=self.size, stride=self.stride, padding=self.padding
    )


class AveragePool(nn.Module):
  """Means over `size x size` windows that cover the input."""

  size: int

  def __call__(self, inputs: Maps) -> Outputs:
    return lowering.adaptive_average_pool(inputs, self.size)


class Dropout(nn.Module):
  """The identity, as in inference; it keeps the numbering of torch's layers."""

  def __call__(self, inputs: Array) -> Array:
    return inputs


def flatten(inputs: Maps) -> Float[Array, "batch units"]:
  """Flattens in torch's order, channels first, as the classifier's weights expect."""
  return inputs.transpose(0, 3, 1, 2).reshape(inputs.shape[0], -1)
