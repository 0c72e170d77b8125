"""Computes the layers of a Keras model of convolutions in JAX."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from milan_jax._src.errors import UserError
from milan_jax._src.lab.annotation.tfjs_bundle import KerasLayer
from milan_jax._src.models.backbones import Params

Maps = Float[Array, "batch height width channels"]


def compute(
  layers: Sequence[KerasLayer],
  params: Params,
  images: Maps,
  wanted: Sequence[str] | None = None,
) -> dict[str, Array]:
  """The outputs of a model's layers.

  Args:
    layers: in an order in which they can be computed.
    params: arrays by layer, and by name in it (`kernel`).
    images: as the model takes them.
    wanted: layers to return, in that order; None for all but the input.

  Raises:
    UserError: a layer is of a kind, or has an option, that is not known here.
  """
  found: dict[str, Array] = {}
  for layer in layers:
    if layer.kind == "InputLayer":
      found[layer.name] = images
      continue
    if layer.kind not in _KINDS:
      raise UserError(
        f"The layer {layer.name} is a {layer.kind}; expected one of "
        f"{', '.join(_KINDS)}."
      )
    inputs = [found[name] for name in layer.inputs]
    result = _KINDS[layer.kind](layer.config, params.get(layer.name, {}), inputs)
    found[layer.name] = _activated(layer.config.get("activation"), result)
  names = [layer.name for layer in layers if layer.kind != "InputLayer"]
  return {name: found[name] for name in (names if wanted is None else wanted)}


def params_of(weights: Mapping[str, np.ndarray]) -> Params:
  """Weights by layer, from names such as `Conv1/kernel`."""
  params: dict[str, dict[str, np.ndarray]] = {}
  for name, array in weights.items():
    layer, _, part = name.rpartition("/")
    params.setdefault(layer, {})[part] = array
  return params


def _activated(name: str | None, values: Array) -> Array:
  if name in (None, "linear"):
    return values
  if name == "relu":
    return jax.nn.relu(values)
  if name == "softmax":
    return jax.nn.softmax(values)
  raise UserError(f"The activation {name} is not known: expected relu or softmax.")


def _convolution(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  return _biased(_convolved(config, inputs[0], params["kernel"], 1), params)


def _depthwise(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  kernel = params["depthwise_kernel"]
  height, width, channels, times = kernel.shape
  kernel = jnp.reshape(kernel, (height, width, 1, channels * times))
  return _biased(_convolved(config, inputs[0], kernel, channels), params)


def _biased(values: Array, params: Any) -> Array:
  if "bias" not in params:
    return values
  axes = tuple(range(values.ndim - 1))
  return values + jnp.expand_dims(params["bias"], axes)


def _convolved(config: Any, maps: Array, kernel: Any, groups: int) -> Array:
  return jax.lax.conv_general_dilated(
    maps,
    jnp.asarray(kernel),
    config["strides"],
    config["padding"].upper(),
    rhs_dilation=config["dilation_rate"],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=groups,
  )


def _normalized(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  spread = jnp.sqrt(params["moving_variance"] + config["epsilon"])
  scale = params.get("gamma", 1) / spread
  shift = params.get("beta", 0) - params["moving_mean"] * scale
  axes = tuple(range(inputs[0].ndim - 1))
  return inputs[0] * jnp.expand_dims(scale, axes) + jnp.expand_dims(shift, axes)


def _dense(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del config
  return _biased(inputs[0] @ params["kernel"], params)


def _relu(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del params
  most = config.get("max_value")
  positive = jax.nn.relu(inputs[0])
  return positive if most is None else jnp.minimum(positive, most)


def _padded(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del params
  return jnp.pad(inputs[0], ((0, 0), *map(tuple, config["padding"]), (0, 0)))


def _most(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del params
  return _pooled(config, inputs[0], -jnp.inf, jax.lax.max)


def _mean(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  """The mean over a window; what lies outside the image does not count."""
  del params
  maps = inputs[0]
  ones = jnp.ones((1, *maps.shape[1:3], 1))
  sums = _pooled(config, maps, 0.0, jax.lax.add)
  return sums / _pooled(config, ones, 0.0, jax.lax.add)


def _pooled(config: Any, maps: Array, start: float, reduce: Any) -> Array:
  result: Array = jax.lax.reduce_window(
    maps,
    start,
    reduce,
    (1, *config["pool_size"], 1),
    (1, *config["strides"], 1),
    config["padding"].upper(),
  )
  return result


def _same(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del config, params
  return inputs[0]


def _sum(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del config, params
  return sum(inputs[1:], inputs[0])


def _joined(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del params
  return jnp.concatenate(inputs, config["axis"])


def _flat(config: Any, params: Any, inputs: Sequence[Array]) -> Array:
  del config, params
  return inputs[0].reshape(len(inputs[0]), -1)


_KINDS: Mapping[str, Callable[[Any, Any, Sequence[Array]], Array]] = {
  "Conv2D": _convolution,
  "DepthwiseConv2D": _depthwise,
  "BatchNormalization": _normalized,
  "Dense": _dense,
  "Activation": _same,
  "Dropout": _same,
  "ReLU": _relu,
  "ZeroPadding2D": _padded,
  "MaxPooling2D": _most,
  "AveragePooling2D": _mean,
  "Add": _sum,
  "Concatenate": _joined,
  "Flatten": _flat,
}
