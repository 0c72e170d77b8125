"""Searches that follow one hypothesis per unit: greedy and sampling."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from milan_jax.search.steps import Hypotheses, State, Step

Pick = Callable[[Float[Array, "batch vocab"], Int[Array, ""]], Int[Array, "batch"]]


def _rollout(
  step: Step,
  state: State,
  pick: Pick,
  *,
  batch: int,
  length: int,
  start_id: int,
  stop_id: int,
  count_tail: bool,
) -> Hypotheses:
  """Predicts token after token, each picked from the step scores of its unit."""

  def unfinished(carry):
    position, last, *_ = carry
    stopped = jnp.all(last == stop_id) & (not count_tail)
    return (position < length) & ~stopped

  def advance(carry):
    position, last, state, tokens, scores = carry
    state, step_scores = step(state, last[:, None])
    picked = pick(step_scores[:, 0], position)
    gains = jnp.take_along_axis(step_scores[:, 0], picked[:, None], axis=-1)[:, 0]
    if not count_tail:
      finished = last == stop_id
      picked = jnp.where(finished, stop_id, picked)
      gains = jnp.where(finished, 0.0, gains)
    return (
      position + 1,
      picked,
      state,
      tokens.at[:, position].set(picked),
      scores + gains,
    )

  carry = (
    jnp.zeros((), jnp.int32),
    jnp.full(batch, start_id, jnp.int32),
    state,
    jnp.full((batch, length), stop_id, jnp.int32),
    jnp.zeros(batch),
  )
  *_, tokens, scores = jax.lax.while_loop(unfinished, advance, carry)
  return Hypotheses(tokens, scores)


def greedy(
  step: Step,
  state: State,
  *,
  batch: int,
  length: int,
  start_id: int,
  stop_id: int,
  count_tail: bool = False,
) -> Hypotheses:
  """Picks the best token at each step.

  Args:
    step: scores the next token; see `steps.Step`.
    state: its state, one hypothesis per unit.
    batch: number of units.
    length: most tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.
    count_tail: go on after stop and count that tail, as the original's code does.
      Its scores then depend on what the model says once it has finished.
  """
  return _rollout(
    step,
    state,
    lambda scores, position: jnp.argmax(scores, axis=-1).astype(jnp.int32),
    batch=batch,
    length=length,
    start_id=start_id,
    stop_id=stop_id,
    count_tail=count_tail,
  )


def sample(
  step: Step,
  state: State,
  *,
  keys: Key[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
) -> Hypotheses:
  """Draws each token from the softmax of the step scores.

  Args:
    step: scores the next token; see `steps.Step`.
    state: its state, one hypothesis per unit.
    keys: one key per unit, so that a unit's draw does not depend on its batch.
    length: most tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.
  """

  def pick(
    scores: Float[Array, "batch vocab"], position: Int[Array, ""]
  ) -> Int[Array, "batch"]:
    draw = jax.vmap(
      lambda key, row: jax.random.categorical(jax.random.fold_in(key, position), row)
    )
    return draw(keys, scores).astype(jnp.int32)

  return _rollout(
    step,
    state,
    pick,
    batch=keys.shape[0],
    length=length,
    start_id=start_id,
    stop_id=stop_id,
    count_tail=False,
  )
