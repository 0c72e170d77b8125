"""The language model: p(description), an LSTM of a few layers."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from milan_jax._src.models.initializers import normal_with_zero_row, uniform_fan_in
from milan_jax._src.models.lstm import Carry, LSTMCell

LanguageModelState = tuple[Carry, ...]


class LanguageModel(nn.Module):
  """Predicts each token from those before it.

  Attributes:
    vocab_size: number of tokens, the four specials included.
    hidden_size: size of each layer's state.
    embedding_size: size of a token's embedding.
    num_layers: number of LSTM layers.
    dropout: rate at which a layer's output is dropped before the next, in training.
    pad_id: the padding token, whose embedding starts as zeros; None for none.
  """

  vocab_size: int
  hidden_size: int = 512
  embedding_size: int = 128
  num_layers: int = 2
  dropout: float = 0.5
  pad_id: int | None = None

  def setup(self) -> None:
    self.embedding = nn.Embed(
      self.vocab_size,
      self.embedding_size,
      embedding_init=normal_with_zero_row(self.pad_id),
    )
    sizes = (self.embedding_size,) + (self.hidden_size,) * (self.num_layers - 1)
    self.cells = [
      LSTMCell(size, self.hidden_size, name=f"lstm_{i}") for i, size in enumerate(sizes)
    ]
    self.dropped = nn.Dropout(self.dropout)
    init = uniform_fan_in(self.hidden_size)
    self.output = nn.Dense(self.vocab_size, kernel_init=init, bias_init=init)

  def start(self, *batch: int) -> LanguageModelState:
    """Returns the state before the first token, zeros, for hypotheses `batch`."""
    zeros = jnp.zeros((*batch, self.hidden_size))
    return ((zeros, zeros),) * self.num_layers

  def step(
    self, state: LanguageModelState, tokens: Int[Array, "*batch"]
  ) -> tuple[LanguageModelState, Float[Array, "*batch vocab"]]:
    """Reads one token per hypothesis; returns the state and log-probabilities."""
    outputs = self.embedding(tokens)
    states = []
    for cell, carry in zip(self.cells, state, strict=True):
      carry = cell(carry, cell.project(outputs))
      outputs = carry[0]
      states.append(carry)
    return tuple(states), nn.log_softmax(self.output(outputs))

  def __call__(
    self, token_inputs: Int[Array, "batch length"], deterministic: bool = True
  ) -> Float[Array, "batch length vocab"]:
    """Reads given tokens; returns the log-probabilities of the next ones.

    Args:
      token_inputs: the tokens to read, `start` first.
      deterministic: False applies dropout, with the key named "dropout".
    """
    outputs = self.embedding(token_inputs)

    def advance(
      cell: LSTMCell, carry: Carry, projected: Float[Array, "batch gates"]
    ) -> tuple[Carry, Float[Array, "batch hidden"]]:
      carry = cell(carry, projected)
      return carry, carry[0]

    scan = nn.scan(
      advance,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=1,
      out_axes=1,
    )
    for i, cell in enumerate(self.cells):
      if i:
        outputs = self.dropped(outputs, deterministic=deterministic)
      (carry,) = self.start(token_inputs.shape[0])[:1]
      _, outputs = scan(cell, carry, cell.project(outputs))
    return nn.log_softmax(self.output(outputs))
