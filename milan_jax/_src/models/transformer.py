"""A second language model: p(description) by a small transformer.

Blocks of causal self-attention and a feed-forward layer, each behind a layer norm and
added to its input; positions are rotations of queries and keys, so no length is fixed.

Source: Vaswani et al. 2017; Xiong et al. 2020 (the norm first); Su et al. 2021 (rotary
positions).
"""

import itertools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.models.initializers import normal_with_zero_row, uniform_fan_in

# Size of an attention head; a narrower model has one head.
HEAD_SIZE = 64
# How much wider the feed-forward layers are.
WIDENING = 4
_LONGEST_WAVE = 10_000.0


class TransformerState(NamedTuple):
  """The state of one prefix per row, with places for `context` tokens.

  Attributes:
    keys: rotated keys of the tokens read.
    values: values of the tokens read.
    position: number of tokens read.
    hidden: output of the last block at the last token.
  """

  keys: Float[Array, "rows layers context hidden"]
  values: Float[Array, "rows layers context hidden"]
  position: Int[Array, "rows"]
  hidden: Float[Array, "rows hidden"]


def num_heads(hidden_size: int) -> int:
  """Returns the number of attention heads of a model of this width."""
  return max(1, hidden_size // HEAD_SIZE)


def is_width(hidden_size: int) -> bool:
  """Returns whether a model can be this wide: its heads have whole pairs of numbers."""
  return hidden_size % (2 * num_heads(hidden_size)) == 0


def expected_width(hidden_size: int) -> str:
  """Returns what a width should be that `is_width` refuses, with the nearest two."""
  below = [width for width in range(hidden_size, 0, -1) if is_width(width)][:1]
  above = next(width for width in itertools.count(hidden_size) if is_width(width))
  near = " or ".join(map(str, (*below, above)))
  heads = num_heads(hidden_size)
  if heads == 1:
    return f"an even width, such as {near}"
  return (
    f"a width that {heads} attention heads divide into even parts, such as {near} (or "
    f"any multiple of {HEAD_SIZE})"
  )


def _rotate(
  vectors: Float[Array, "rows length heads size"], positions: Int[Array, "rows length"]
) -> Float[Array, "rows length heads size"]:
  """Rotates pairs of numbers by angles that grow with the position."""
  half = vectors.shape[-1] // 2
  rates = _LONGEST_WAVE ** (-jnp.arange(half) / half)
  angles = positions[..., None, None] * rates[None, None, None]
  sine, cosine = jnp.sin(angles), jnp.cos(angles)
  first, second = vectors[..., :half], vectors[..., half:]
  rotated = [first * cosine - second * sine, second * cosine + first * sine]
  return jnp.concatenate(rotated, axis=-1)


class _Attended(NamedTuple):
  queries: Float[Array, "rows length heads size"]
  keys: Float[Array, "rows length heads size"]
  values: Float[Array, "rows length heads size"]


class Block(nn.Module):
  """One block.

  Attributes:
    hidden_size: width of the block.
    dropout: rate at which its outputs are dropped, in training.
    dtype: type that the operands of products are rounded to.
  """

  hidden_size: int
  dropout: float
  dtype: Any = jnp.float32

  def setup(self) -> None:
    width = self.hidden_size

    def dense(inputs: int, outputs: int) -> nn.Dense:
      init = uniform_fan_in(inputs)
      return nn.Dense(outputs, dtype=self.dtype, kernel_init=init, bias_init=init)

    self.norm_attention, self.norm_hidden = nn.LayerNorm(), nn.LayerNorm()
    self.project = dense(width, 3 * width)
    self.mix = dense(width, width)
    self.widen = dense(width, WIDENING * width)
    self.narrow = dense(WIDENING * width, width)
    self.dropped = nn.Dropout(self.dropout)

  def attended(
    self,
    inputs: Float[Array, "rows length hidden"],
    positions: Int[Array, "rows length"],
  ) -> _Attended:
    """Returns queries, keys and values of tokens at some positions."""
    rows, length, width = inputs.shape
    heads = num_heads(width)
    projected = self.project(self.norm_attention(inputs)).astype(jnp.float32)
    parts = jnp.split(projected, 3, axis=-1)
    queries, keys, values = (part.reshape(rows, length, heads, -1) for part in parts)
    return _Attended(_rotate(queries, positions), _rotate(keys, positions), values)

  def finish(
    self,
    inputs: Float[Array, "rows length hidden"],
    attended: _Attended,
    is_seen: Bool[Array, "rows length context"],
    deterministic: bool = True,
  ) -> Float[Array, "rows length hidden"]:
    """Attends to the keys that each token sees, and applies the rest of the block."""
    queries, keys, values = attended
    energies = jnp.einsum("rqhs,rkhs->rhqk", queries, keys) * queries.shape[-1] ** -0.5
    energies = jnp.where(is_seen[:, None], energies, -jnp.inf)
    weights = nn.softmax(energies, axis=-1)
    looks = jnp.einsum("rhqk,rkhs->rqhs", weights, values).reshape(inputs.shape)
    outputs: Array = inputs
    outputs += self.dropped(self.mix(looks), deterministic=deterministic)
    wide = nn.gelu(self.widen(self.norm_hidden(outputs)))
    outputs += self.dropped(self.narrow(wide), deterministic=deterministic)
    return outputs


class TransformerLanguageModel(nn.Module):
  """Predicts each token from those before it.

  Attributes:
    vocab_size: number of tokens, including the four special ones.
    hidden_size: width of the blocks.
    embedding_size: size of a token's embedding, which is projected to the width.
    num_layers: number of blocks.
    dropout: rate at which the blocks' outputs are dropped, in training.
    pad_id: the padding token, whose embedding starts as zeros; None for none.
    dtype: type that the operands of products are rounded to.
  """

  vocab_size: int
  hidden_size: int = 512
  embedding_size: int = 128
  num_layers: int = 2
  dropout: float = 0.5
  pad_id: int | None = None
  dtype: Any = jnp.float32

  def setup(self) -> None:
    self.embedding = nn.Embed(
      self.vocab_size,
      self.embedding_size,
      embedding_init=normal_with_zero_row(self.pad_id),
    )
    init = uniform_fan_in(self.embedding_size)
    self.widen = nn.Dense(self.hidden_size, kernel_init=init, bias_init=init)
    self.blocks = [
      Block(self.hidden_size, self.dropout, self.dtype, name=f"block_{i}")
      for i in range(self.num_layers)
    ]
    self.norm = nn.LayerNorm()
    init = uniform_fan_in(self.hidden_size)
    self.output = nn.Dense(self.vocab_size, kernel_init=init, bias_init=init)

  def states(
    self, token_inputs: Int[Array, "batch length"], deterministic: bool = True
  ) -> Float[Array, "batch length hidden"]:
    """Reads given tokens; returns what the output layer reads, after each."""
    batch, length = token_inputs.shape
    places = jnp.arange(length)
    positions = jnp.broadcast_to(places[None], (batch, length))
    is_seen = jnp.broadcast_to(
      places[None, None] <= places[None, :, None], (batch, length, length)
    )
    outputs = self.widen(self.embedding(token_inputs))
    for block in self.blocks:
      attended = block.attended(outputs, positions)
      outputs = block.finish(outputs, attended, is_seen, deterministic)
    normed: Array = self.norm(outputs)
    return normed

  def __call__(
    self, token_inputs: Int[Array, "batch length"], deterministic: bool = True
  ) -> Float[Array, "batch length vocab"]:
    """Reads given tokens; returns the log-probabilities of the next ones.

    Args:
      token_inputs: the tokens to read, `start` first.
      deterministic: False applies dropout, with the key named "dropout".
    """
    return nn.log_softmax(self.output(self.states(token_inputs, deterministic)))

  def read(
    self, state: TransformerState, tokens: Int[Array, "rows"]
  ) -> TransformerState:
    """Reads one more token per row."""
    rows, _, context, _ = state.keys.shape
    places, positions = jnp.arange(context)[None], state.position[:, None]
    is_here = (places == positions)[..., None]
    is_seen = (places <= positions)[:, None]
    outputs = self.widen(self.embedding(tokens[:, None]))
    kept = []
    for i, block in enumerate(self.blocks):
      new = block.attended(outputs, positions)
      layers = [
        jnp.where(is_here, one.reshape(rows, 1, -1), old[:, i])
        for one, old in ((new.keys, state.keys), (new.values, state.values))
      ]
      kept.append(layers)
      keys, values = (
        x.reshape(rows, context, num_heads(self.hidden_size), -1) for x in layers
      )
      outputs = block.finish(outputs, _Attended(new.queries, keys, values), is_seen)
    keys, values = (jnp.stack(layers, axis=1) for layers in zip(*kept, strict=True))
    hidden = self.norm(outputs)[:, 0]
    return TransformerState(keys, values, state.position + 1, hidden)

  def predict(self, hidden: Float[Array, "rows hidden"]) -> Float[Array, "rows vocab"]:
    """Returns the logits of the next token."""
    logits: Array = self.output(hidden)
    return logits


class TransformerWeights(NamedTuple):
  """The parameters for decoding, as the module has them."""

  params: dict[str, Any]


def is_transformer(params: Any) -> bool:
  """Returns whether a language model's parameters are a transformer's."""
  return "block_0" in params


def fuse_transformer_weights(
  params: Any, dtype: Any = jnp.float32
) -> TransformerWeights:
  """Rounds the kernels to a type; embeddings, norms and biases stay float32."""

  def rounded(path: tuple[Any, ...], value: Any) -> Array:
    array: Array = jnp.asarray(value)
    return array.astype(dtype) if path[-1].key == "kernel" else array

  return TransformerWeights(jax.tree_util.tree_map_with_path(rounded, params))


class TransformerRows:
  """Steps of the transformer over packed rows; a `search.steps.RowModel`."""

  def __init__(self, weights: TransformerWeights, context: int):
    """Reads the sizes from the parameters.

    Args:
      weights: the parameters.
      context: tokens that a row can read.
    """
    self._params, self._context = weights.params, context
    vocab_size, embedding_size = weights.params["embedding"]["embedding"].shape
    self._module = TransformerLanguageModel(
      vocab_size,
      weights.params["widen"]["kernel"].shape[1],
      embedding_size,
      sum(name.startswith("block_") for name in weights.params),
    )

  def start(self) -> TransformerState:
    """Returns the state before the first token, as one row."""
    module = self._module
    cache = jnp.zeros((1, module.num_layers, self._context, module.hidden_size))
    hidden = jnp.zeros((1, module.hidden_size))
    return TransformerState(cache, cache, jnp.zeros(1, jnp.int32), hidden)

  def prepare(
    self, state: TransformerState, units: Int[Array, "rows"]
  ) -> TransformerState:
    """Returns the state: nothing can be computed before the token is known."""
    del units
    return state

  def read(
    self, partial: TransformerState, tokens: Int[Array, "rows"]
  ) -> TransformerState:
    """Reads one more token per row."""
    state: TransformerState = self._apply(partial, tokens, method="read")
    return state

  def predict(self, state: TransformerState) -> Float[Array, "rows vocab"]:
    """Returns the logits of the next token."""
    logits: Array = self._apply(state.hidden, method="predict")
    return logits

  def _apply(self, *args: Any, method: str) -> Any:
    return self._module.apply({"params": self._params}, *args, method=method)
