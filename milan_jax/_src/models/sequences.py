"""Both models over whole captions: the states of `__call__`, fast to differentiate.

What does not depend on the recurrence is computed once, for all steps: attention keys,
the products of the embedded tokens, and after the loop, the kernels' gradients
(`recurrences`). The output layer is the caller's, who knows which tokens are real.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from milan_jax._src.models.products import product
from milan_jax._src.models.recurrences import (
  AttendingInputs,
  AttendingKernels,
  run_attending_lstm,
  run_lstm,
)

# Drops part of the values of a layer, by the layer's index.
Drop = Callable[[Float[Array, "length batch hidden"], int], Float[Array, "..."]]


def _dense(
  layer: Any, inputs: Float[Array, "*rows inputs"], dtype: DTypeLike
) -> Float[Array, "*rows outputs"]:
  bias = layer["bias"].reshape((1,) * (inputs.ndim - 1) + (-1,))
  outputs: Array = product(inputs, layer["kernel"], dtype) + bias
  return outputs


def captioner_states(
  params: Any,
  features: Float[Array, "batch k features"],
  tokens: Int[Array, "batch length"],
  dtype: DTypeLike,
) -> tuple[Float[Array, "length batch hidden"], Float[Array, "length batch k"]]:
  """Returns the captioner's hidden states and attentions at each step.

  The features are constants: their gradient is zero.

  Args:
    params: parameters of `Captioner`.
    features: features of each unit's regions.
    tokens: the tokens to read, `start` first.
    dtype: type of the products' operands.
  """
  features = jax.lax.stop_gradient(features)
  attention, lstm = params["attention"], params["lstm"]
  embedding = params["embedding"]["embedding"]
  size = embedding.shape[1]
  mean = features.mean(axis=1)
  projected = product(embedding[tokens.T], lstm["input_kernel"][:size], dtype)
  bias = lstm["input_bias"] + lstm["hidden_bias"]
  inputs = AttendingInputs(
    hidden=jnp.tanh(_dense(params["init_hidden"], mean, dtype)),
    cell=jnp.tanh(_dense(params["init_cell"], mean, dtype)),
    projected=projected + bias[None, None],
    keys=_dense(attention["key"], features, dtype),
  )
  layers = (attention["query"], params["gate"])
  columns = [*(layer["kernel"] for layer in layers), lstm["hidden_kernel"]]
  kernels = AttendingKernels(
    state=jnp.concatenate(columns, axis=1),
    state_bias=jnp.concatenate([layer["bias"] for layer in layers]),
    # The energies' bias is the same for all regions, so the softmax cancels it.
    energy=attention["output"]["kernel"][:, 0],
    context=lstm["input_kernel"][size:],
  )
  hiddens, attentions = run_attending_lstm(features, inputs, kernels, dtype)
  return hiddens, attentions


def language_model_states(
  params: Any,
  tokens: Int[Array, "batch length"],
  drop: Drop,
  dtype: DTypeLike,
) -> Float[Array, "length batch hidden"]:
  """Returns the hidden states of the language model's last layer at each step.

  Args:
    params: parameters of `LanguageModel`.
    tokens: the tokens to read, `start` first.
    drop: dropout between two layers.
    dtype: type of the products' operands.
  """
  outputs: Array = params["embedding"]["embedding"][tokens.T]
  names = [name for name in params if name.startswith("lstm_")]
  for i in range(len(names)):
    layer = params[f"lstm_{i}"]
    if i:
      outputs = drop(outputs, i)
    bias = layer["input_bias"] + layer["hidden_bias"]
    projected = product(outputs, layer["input_kernel"], dtype) + bias[None, None]
    outputs = run_lstm(projected, layer["hidden_kernel"], dtype)
  return outputs
