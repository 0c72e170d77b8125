"""The captioner over packed rows: `Captioner.step` from fused weights.

A row is one hypothesis of one unit. The terms of a step that depend only on the state
are computed once per state (`prepare`), for any number of next tokens. The product of
the input kernel with the embedded token is a row of a table. If the weights are
bfloat16, operands of products are rounded to it; everything else stays float32.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from milan_jax._src.models.captioner import Regions
from milan_jax._src.models.lstm import apply_gates
from milan_jax._src.models.products import Kernel, KernelByOutputs, dot


class CaptionerWeights(NamedTuple):
  """The captioner's fused parameters; see `fuse_captioner_weights`."""

  start: Kernel  # from the features to both parts of the first state
  start_bias: Float[Array, "two_hidden"]
  key: Float[Array, "features attention"]
  key_bias: Float[Array, "attention"]
  state: Kernel  # from the hidden state to query, gate of the features, and gates
  state_bias: Float[Array, "attention_features_gates"]
  energy: Float[Array, "attention"]
  context: Kernel  # from the features to the gates
  words: Float[Array, "vocab gates"]
  output: Float[Array, "hidden vocab"]
  output_bias: Float[Array, "vocab"]


class PartialStep(NamedTuple):
  """The next step of a state, without the token's share of the gates."""

  gates: Float[Array, "rows gates"]
  cell: Float[Array, "rows hidden"]


class RowState(NamedTuple):
  """State of the LSTM, one row per hypothesis."""

  hidden: Float[Array, "rows hidden"]
  cell: Float[Array, "rows hidden"]


def fuse_captioner_weights(
  params: Any, dtype: DTypeLike = jnp.float32, *, by_outputs: bool = False
) -> CaptionerWeights:
  """Concatenates kernels with a common input and precomputes constant products.

  Args:
    params: parameters of `Captioner`.
    dtype: dtype of the kernels. Biases, energies and the embedding table stay float32,
      because a CPU would convert a narrower table at every call.
    by_outputs: store kernels as `KernelByOutputs`, except those of the keys and of the
      output, whose products are faster without.
  """
  params = jax.tree.map(jnp.asarray, params)
  attention, lstm = params["attention"], params["lstm"]
  embedding = params["embedding"]["embedding"]
  words, context = jnp.split(lstm["input_kernel"], [embedding.shape[1]])
  starts = [params["init_hidden"], params["init_cell"]]
  states = [attention["query"], params["gate"]]
  stored = KernelByOutputs.of if by_outputs else jnp.asarray
  lstm_bias = lstm["input_bias"] + lstm["hidden_bias"]
  return CaptionerWeights(
    start=stored(jnp.concatenate([p["kernel"] for p in starts], axis=1).astype(dtype)),
    start_bias=jnp.concatenate([p["bias"] for p in starts]),
    key=attention["key"]["kernel"].astype(dtype),
    key_bias=attention["key"]["bias"],
    state=stored(
      jnp.concatenate(
        [*(p["kernel"] for p in states), lstm["hidden_kernel"]], axis=1
      ).astype(dtype)
    ),
    state_bias=jnp.concatenate([*(p["bias"] for p in states), lstm_bias]),
    # The energies' bias is the same for all regions, so the softmax cancels it.
    energy=attention["output"]["kernel"][:, 0],
    context=stored(context.astype(dtype)),
    words=dot(embedding, words),
    output=params["output"]["kernel"].astype(dtype),
    output_bias=params["output"]["bias"],
  )


@dataclasses.dataclass(frozen=True)
class CaptionerRows:
  """Steps of the captioner for rows of some units; a `search.steps.RowModel`."""

  weights: CaptionerWeights
  regions: Regions

  def prepare(self, state: RowState, units: Int[Array, "rows"]) -> PartialStep:
    """Computes attention and all products except those with the token."""
    weights = self.weights
    attention, features = weights.key.shape[1], weights.context.shape[0]
    projected = dot(state.hidden, weights.state) + weights.state_bias[None]
    query, gate, gates = jnp.split(projected, [attention, attention + features], axis=1)
    energies = jnp.tanh(query[:, None] + self.regions.keys[units]) @ weights.energy
    if self.regions.counts is not None:
      is_region = jnp.arange(energies.shape[1])[None] < self.regions.counts[units, None]
      energies = jnp.where(is_region, energies, -jnp.inf)
    attentions = nn.softmax(energies, axis=-1)
    # Unrolled over the regions, this compiles to one loop without copies of features.
    contexts = sum(
      attentions[:, k, None] * self.regions.features[units, k]
      for k in range(attentions.shape[1])
    )
    contexts = dot(contexts * nn.sigmoid(gate), weights.context)
    return PartialStep(gates + contexts, state.cell)

  def read(self, partial: PartialStep, tokens: Int[Array, "rows"]) -> RowState:
    """Steps the LSTM."""
    gates = partial.gates + self.weights.words[tokens]
    return RowState(*apply_gates(gates, partial.cell))

  def predict(self, state: RowState) -> Float[Array, "rows vocab"]:
    """Returns the logits of the next token."""
    return dot(state.hidden, self.weights.output) + self.weights.output_bias[None]


class CaptionerStart(NamedTuple):
  """The captioner's regions and initial state of each unit."""

  keys: Float[Array, "batch k attention"]
  state: RowState


def start_captioner(
  weights: CaptionerWeights,
  features: Float[Array, "batch k features"],
  counts: Int[Array, "batch"] | None = None,
) -> CaptionerStart:
  """Projects the regions' keys, and their mean to each unit's first state.

  Args:
    weights: the captioner's parameters.
    features: features of the regions.
    counts: number of each unit's leading regions to use; None for all.
  """
  k = features.shape[1]
  if counts is None:
    mean = features.mean(axis=1)
  else:
    is_region = jnp.arange(k)[None] < counts[:, None]
    mean = jnp.where(is_region[..., None], features, 0).sum(axis=1) / counts[:, None]
  keys = dot(features, weights.key) + weights.key_bias[None, None]
  state = jnp.tanh(dot(mean, weights.start) + weights.start_bias[None])
  return CaptionerStart(keys, RowState(*jnp.split(state, 2, axis=1)))
