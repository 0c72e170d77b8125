"""What a search needs of a model: one step, for every hypothesis of every unit.

Every array of a state has the axes `batch beam` in front: `batch` units, `beam`
hypotheses of each. Log-probabilities are natural logs; scores are their sums, in nats.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, Int

State = Any  # a tree of arrays, each with the axes `batch beam` in front


@runtime_checkable
class Step(Protocol):
  """Reads one token per hypothesis; predicts the next."""

  def __call__(
    self, state: State, tokens: Int[Array, "batch beam"]
  ) -> tuple[State, Float[Array, "batch beam vocab"]]:
    """Returns the next state and the log-probabilities of the next token."""


class Hypotheses(NamedTuple):
  """One description per unit.

  Attributes:
    tokens: the tokens predicted; everything after the first stop is stop.
    scores: summed step scores up to and including the first stop.
  """

  tokens: Int[Array, "batch length"]
  scores: Float[Array, "batch"]


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


def pointwise(step: Step, lm_step: Step, *, temperature: float) -> Step:
  """Scores each token by its weighted pointwise mutual information.

  The score is `log p(token | regions) - temperature * log p(token)`; it is no
  log-probability and can be positive. The state is the pair of both states.

  Source: Hernandez et al. 2022, equation 2, applied at each step.
  """

  def combined(
    state: State, tokens: Int[Array, "batch beam"]
  ) -> tuple[State, Float[Array, "batch beam vocab"]]:
    state, lm_state = state
    state, log_probs = step(state, tokens)
    lm_state, lm_log_probs = lm_step(lm_state, tokens)
    return (state, lm_state), log_probs - temperature * lm_log_probs

  return combined


def widen(state: State, beam: int) -> State:
  """Repeats a state of one hypothesis per unit for `beam` of them."""
  return jax.tree.map(
    lambda x: jax.numpy.broadcast_to(x, (x.shape[0], beam, *x.shape[2:])), state
  )
