"""The captioner: p(description | regions), an LSTM that attends over the regions.

Source: Hernandez et al. 2022, section 3; the decoder is that of "Show, attend and
tell" (Xu et al. 2015) with soft attention and a gated context.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from milan_jax._src.models.initializers import normal_with_zero_row, uniform_fan_in
from milan_jax._src.models.lstm import LSTMCell


class Regions(NamedTuple):
  """The captioner's inputs for a unit, computed once per unit.

  Attributes:
    features: features of the regions.
    keys: the attention keys of the regions.
    counts: number of each unit's leading regions to use; None for all. Only used in
      decoding.
  """

  features: Float[Array, "batch k features"]
  keys: Float[Array, "batch k attention"]
  counts: Int[Array, "batch"] | None = None


class CaptionerState(NamedTuple):
  """State of the captioner's LSTM, for each of `beam` hypotheses of a unit."""

  hidden: Float[Array, "batch beam hidden"]
  cell: Float[Array, "batch beam hidden"]


def _dense(inputs: int, outputs: int) -> nn.Dense:
  init = uniform_fan_in(inputs)
  return nn.Dense(outputs, kernel_init=init, bias_init=init)


class Attention(nn.Module):
  """Additive attention: softmax over k of `v . tanh(Wq h + Wk f)`."""

  query_size: int
  key_size: int
  attention_size: int

  def setup(self) -> None:
    self.query = _dense(self.query_size, self.attention_size)
    self.key = _dense(self.key_size, self.attention_size)
    self.output = _dense(self.attention_size, 1)

  def __call__(
    self,
    hidden: Float[Array, "batch beam hidden"],
    keys: Float[Array, "batch k attention"],
  ) -> Float[Array, "batch beam k"]:
    """Returns the weight of each region."""
    queries = self.query(hidden)
    energies = self.output(jnp.tanh(queries[:, :, None] + keys[:, None]))
    return nn.softmax(energies[..., 0], axis=-1)


class Captioner(nn.Module):
  """Predicts a description's tokens one by one from a unit's regions.

  Attributes:
    vocab_size: number of tokens, including the four special ones.
    feature_size: size of a region's features.
    hidden_size: size of the LSTM's state.
    embedding_size: size of a token's embedding.
    attention_size: size of the attention's hidden layer; `hidden_size` if None.
    dropout: rate at which the state is dropped before the output, in training only.
  """

  vocab_size: int
  feature_size: int
  hidden_size: int = 512
  embedding_size: int = 128
  attention_size: int | None = None
  dropout: float = 0.5

  def setup(self) -> None:
    features, hidden = self.feature_size, self.hidden_size
    self.init_hidden = _dense(features, hidden)
    self.init_cell = _dense(features, hidden)
    self.embedding = nn.Embed(
      self.vocab_size, self.embedding_size, embedding_init=normal_with_zero_row(None)
    )
    self.attention = Attention(hidden, features, self.attention_size or hidden)
    self.gate = _dense(hidden, features)
    self.lstm = LSTMCell(self.embedding_size + features, hidden)
    self.dropped = nn.Dropout(self.dropout)
    self.output = _dense(hidden, self.vocab_size)

  def start(
    self, features: Float[Array, "batch k features"]
  ) -> tuple[Regions, CaptionerState]:
    """Returns the regions, which are constant over the steps, and the initial state.

    The state has one hypothesis per unit: `tanh(W mean_k(features))`.
    """
    mean = features.mean(axis=1, keepdims=True)
    state = CaptionerState(
      jnp.tanh(self.init_hidden(mean)), jnp.tanh(self.init_cell(mean))
    )
    return Regions(features, self.attention.key(features)), state

  def _context_kernel(self) -> Float[Array, "features gates"]:
    return jnp.asarray(self.lstm.input_kernel)[self.embedding_size :]

  def _advance(
    self,
    regions: Regions,
    state: CaptionerState,
    projected: Float[Array, "batch beam gates"],
    kernel: Float[Array, "features gates"],
  ) -> tuple[CaptionerState, Float[Array, "batch beam k"]]:
    """Steps the LSTM, given its input kernel's product with the embedded token.

    Args:
      regions: the regions.
      state: the state before the step.
      projected: the product of the embedded token with its part of the input kernel.
      kernel: the contexts' part of it, `_context_kernel`.
    """
    attentions = self.attention(state.hidden, regions.keys)
    contexts = jnp.einsum("bnk,bkf->bnf", attentions, regions.features)
    contexts = contexts * nn.sigmoid(self.gate(state.hidden))
    projected = projected + contexts @ kernel
    hidden, cell = self.lstm((state.hidden, state.cell), projected)
    return CaptionerState(hidden, cell), attentions

  def step(
    self,
    regions: Regions,
    state: CaptionerState,
    tokens: Int[Array, "batch beam"],
  ) -> tuple[
    CaptionerState,
    Float[Array, "batch beam vocab"],
    Float[Array, "batch beam k"],
  ]:
    """Reads one token per hypothesis; returns state, log-probabilities, attention.

    The attention query is the state *before* the step. No dropout.
    """
    projected = self.lstm.project(self.embedding(tokens))
    kernel = self._context_kernel()
    state, attentions = self._advance(regions, state, projected, kernel)
    return state, nn.log_softmax(self.output(state.hidden)), attentions

  def __call__(
    self,
    features: Float[Array, "batch k features"],
    token_inputs: Int[Array, "batch length"],
    deterministic: bool = True,
  ) -> tuple[Float[Array, "batch length vocab"], Float[Array, "batch length k"]]:
    """Reads given tokens; returns the log-probabilities of the next and attentions.

    Args:
      features: features of each unit's regions.
      token_inputs: the tokens to read, `start` first.
      deterministic: False applies dropout, with the key named "dropout".
    """
    regions, state = self.start(features)
    # All the embedded tokens are multiplied at once; the loop adds the contexts.
    projected = self.lstm.project(self.embedding(token_inputs))

    def advance(
      module: Captioner,
      state: CaptionerState,
      projected: Float[Array, "batch gates"],
      kernel: Float[Array, "features gates"],
    ) -> tuple[CaptionerState, tuple[Array, Array]]:
      state, attentions = module._advance(regions, state, projected[:, None], kernel)
      return state, (state.hidden[:, 0], attentions[:, 0])

    scan = nn.scan(
      advance,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(1, nn.broadcast),
      out_axes=1,
    )
    # Sliced outside of the loop: inside, devices would sum the slice's gradient at
    # every step instead of once.
    kernel = self._context_kernel()
    _, (hiddens, attentions) = scan(self, state, projected, kernel)
    hiddens = self.dropped(hiddens, deterministic=deterministic)
    return nn.log_softmax(self.output(hiddens)), attentions
