"""Beam search: the best descriptions of each unit."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from milan_jax.search.steps import Beams, State, Step, widen
from milan_jax.search.topk import top_k

# What a finished hypothesis scores for anything but stop: finite, as in the original,
# so that a sum with it never becomes a NaN.
FORBIDDEN = jnp.finfo(jnp.float32).min


def _follow(state: State, parents: Int[Array, "batch beam"]) -> State:
  rows = jnp.arange(parents.shape[0])[:, None]
  return jax.tree.map(lambda x: x[rows, parents], state)


def beam_search(
  step: Step,
  state: State,
  *,
  valid: Bool[Array, "batch"],
  beam_size: int,
  length: int,
  start_id: int,
  stop_id: int,
) -> Beams:
  """Keeps the `beam_size` best hypotheses of each unit, finished or not, in one pool.

  A finished hypothesis stays in the pool with its score. Scores are summed step
  scores, with no normalisation by length; with mutual information they can rise, so
  nothing is pruned on the belief that they only fall.

  Args:
    step: scores the next token; see `steps.Step`.
    state: its state, with one hypothesis per unit.
    valid: units that are no padding; the search ends when all of theirs have stopped.
    beam_size: number of hypotheses kept.
    length: most tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.

  Returns:
    The hypotheses of each unit, best first. Where fewer exist than `beam_size` (a
    small vocabulary at a short length), the rest scores float32's minimum or below.
  """
  batch = valid.shape[0]
  first = jnp.full((batch, 1), start_id, jnp.int32)
  state, step_scores = step(state, first)
  vocab = step_scores.shape[-1]
  known = min(beam_size, vocab)
  scores, last = top_k(step_scores[:, 0], known)
  spare = ((0, 0), (0, beam_size - known))
  scores = jnp.pad(scores, spare, constant_values=-jnp.inf)
  last = jnp.pad(last.astype(jnp.int32), spare, constant_values=stop_id)
  tokens = jnp.full((batch, beam_size, length), stop_id, jnp.int32)
  tokens = tokens.at[:, :, 0].set(last)
  is_stop = (jnp.arange(vocab) == stop_id)[None, None]

  def unfinished(carry):
    position, last, *_ = carry
    return (position < length) & jnp.any((last != stop_id) & valid[:, None])

  def advance(carry):
    position, last, scores, tokens, state = carry
    state, step_scores = step(state, last)
    only_stop = jnp.where(is_stop, 0.0, FORBIDDEN)
    step_scores = jnp.where((last == stop_id)[:, :, None], only_stop, step_scores)
    candidates = (scores[:, :, None] + step_scores).reshape(batch, beam_size * vocab)
    scores, places = top_k(candidates, beam_size)
    parents, last = places // vocab, (places % vocab).astype(jnp.int32)
    state, tokens = _follow((state, tokens), parents)
    tokens = tokens.at[:, :, position].set(last)
    return position + 1, last, scores, tokens, state

  carry = (jnp.ones((), jnp.int32), last, scores, tokens, widen(state, beam_size))
  num_steps, _, scores, tokens, _ = jax.lax.while_loop(unfinished, advance, carry)
  return Beams(tokens, scores, num_steps)
