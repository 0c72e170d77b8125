"""Scores of given descriptions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax.search.steps import State, Step


def counted(
  tokens: Int[Array, "*batch length"],
  *,
  stop_id: int,
  num_steps: Int[Array, ""] | int | None = None,
  one_too_many: bool = False,
) -> Bool[Array, "*batch length"]:
  """Marks the tokens that belong to a description: up to the first stop, inclusive.

  Args:
    tokens: tokens of each description.
    stop_id: the token that ends a description.
    num_steps: steps that the search took; only used by `one_too_many`.
    one_too_many: count the token after the first stop too, where the search took
      that many steps. The original's language model scores that way, so that a
      description's score there depends on the batch that it was decoded in.
  """
  length = tokens.shape[-1]
  stops_before = jnp.cumsum(tokens == stop_id, axis=-1) - (tokens == stop_id)
  if not one_too_many:
    return stops_before == 0
  extra = jnp.pad((stops_before == 0)[..., :-1], _left(tokens.ndim))
  taken = jnp.arange(length) < (length if num_steps is None else num_steps)
  return ((stops_before == 0) | extra) & jnp.broadcast_to(taken, tokens.shape)


def _left(ndim: int) -> list[tuple[int, int]]:
  return [(0, 0)] * (ndim - 1) + [(1, 0)]


def forced_scores(
  step: Step,
  state: State,
  tokens: Int[Array, "batch beam length"],
  counts: Bool[Array, "batch beam length"],
  *,
  start_id: int,
) -> Float[Array, "batch beam"]:
  """Sums the step scores of the tokens of given descriptions that count.

  Args:
    step: scores the next token; see `steps.Step`.
    state: its state, for every hypothesis.
    tokens: tokens of each description, without the start.
    counts: which tokens count; see `counted`.
    start_id: the token read first.

  Returns:
    The score of each description, in nats.
  """
  starts = jnp.full((*tokens.shape[:2], 1), start_id, tokens.dtype)
  inputs = jnp.concatenate([starts, tokens[:, :, :-1]], axis=-1)
  num_steps = jnp.max(jnp.where(counts, jnp.arange(1, tokens.shape[-1] + 1), 0))

  def advance(carry):
    position, state, scores = carry
    state, step_scores = step(state, inputs[:, :, position])
    targets = tokens[:, :, position][:, :, None]
    gains = jnp.take_along_axis(step_scores, targets, axis=-1)[:, :, 0]
    return position + 1, state, scores + jnp.where(counts[:, :, position], gains, 0.0)

  carry = (jnp.zeros((), jnp.int32), state, jnp.zeros(tokens.shape[:2]))
  return jax.lax.while_loop(lambda c: c[0] < num_steps, advance, carry)[2]
