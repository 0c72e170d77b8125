"""The interface of a model for a search: one step over packed rows.

A row is one hypothesis of one unit. Its state is a tree of arrays with the rows as
first axis. A step has three parts, because each is needed for different rows:

- `prepare` computes the terms that depend only on the state, once for all next tokens;
- `read` updates the state with one token;
- `predict` returns the logits of the next token, for unfinished hypotheses.

Log-probabilities are natural logs; scores are their sums, in nats.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

State = Any  # a tree of arrays, each with the rows as first axis
PartialStep = Any  # likewise


@runtime_checkable
class RowModel(Protocol):
  """Reads one token per row; predicts the next."""

  def prepare(self, state: State, units: Int[Array, "rows"]) -> PartialStep:
    """Returns the terms for any next token; `units` are the rows' units."""

  def read(self, partial: PartialStep, tokens: Int[Array, "rows"]) -> State:
    """Returns the state after one more token."""

  def predict(self, state: State) -> Float[Array, "rows vocab"]:
    """Returns the logits of the next token."""


class BoundModel(NamedTuple):
  """A model bound to the initial states of some units.

  Attributes:
    model: reads and predicts.
    state: initial states.
    rows: the row of `state` at which each unit begins: its own, or one for all.
  """

  model: RowModel
  state: State
  rows: Int[Array, "batch"]


class Work(NamedTuple):
  """Rows for which a model was needed, and for which it was computed.

  Attributes:
    needed: rows prepared, read and predicted.
    computed: likewise, with the padding of chunks.
    chunks: number of chunks; each reads the weights once.
  """

  needed: Int[Array, "3"]
  computed: Int[Array, "3"]
  chunks: Int[Array, "3"]


class Hypotheses(NamedTuple):
  """One description per unit.

  Attributes:
    tokens: the tokens predicted; everything after the first stop is stop.
    scores: summed step scores up to and including the first stop.
    margins: difference to the next best score; infinity if unknown.
  """

  tokens: Int[Array, "batch length"]
  scores: Float[Array, "batch"]
  margins: Float[Array, "batch"]


class Beams(NamedTuple):
  """The best descriptions per unit, best first.

  Attributes:
    tokens: the tokens predicted; everything after the first stop is stop.
    scores: summed step scores up to and including the first stop.
    num_steps: steps taken until every hypothesis of the batch had stopped.
  """

  tokens: Int[Array, "batch beam length"]
  scores: Float[Array, "batch beam"]
  num_steps: Int[Array, ""]


def no_work() -> Work:
  """Returns counts of zero."""
  none = jnp.zeros(3, jnp.int32)
  return Work(none, none, none)


def add_work(first: Work, second: Work) -> Work:
  """Adds counts."""
  return Work(*(one + other for one, other in zip(first, second, strict=True)))
