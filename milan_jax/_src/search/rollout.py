"""Searches that follow one hypothesis per unit: greedy and sampling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from milan_jax._src.search.advance import Rows, advance, allocate
from milan_jax._src.search.prefixes import (
  Scored,
  advance_prefixes,
  mutual_information,
  unchanged,
)
from milan_jax._src.search.rows import compact, pad_rows
from milan_jax._src.search.selection import best_of_rows
from milan_jax._src.search.steps import Hypotheses, Searched, Work


class Picks(NamedTuple):
  """What was picked for some rows.

  Attributes:
    tokens: the tokens.
    scores: their step scores.
    margins: by how much each beats the next best; infinity where it was drawn.
  """

  tokens: Int[Array, "rows"]
  scores: Float[Array, "rows"]
  margins: Float[Array, "rows"]


Pick = Callable[[Float[Array, "rows vocab"], Int[Array, "rows"], Int[Array, ""]], Picks]


class RolledOut(NamedTuple):
  """Hypotheses, and the rows that finding them took of each model."""

  hypotheses: Hypotheses
  work: Work
  lm_work: Work | None


def _rollout(
  searched: Searched,
  pick: Pick,
  *,
  valid: Bool[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
  lm: Searched | None,
  temperature: float,
  count_tail: bool,
) -> RolledOut:
  """Predicts token after token for the units that go on, each from its step scores."""
  batch = valid.shape[0]
  units = jnp.arange(batch, dtype=jnp.int32)
  spare = pad_rows(batch) - batch

  def blank_pick(log_probs, places):
    return pick(log_probs, places, jnp.zeros((), jnp.int32))

  memory = allocate(searched.model, searched.state, batch, blank_pick)
  lm_memory = None if lm is None else allocate(lm.model, lm.state, batch, unchanged)

  def unfinished(carry):
    position, is_live, *_ = carry
    return (position < length) & jnp.any(is_live)

  def step(carry):
    position, is_live, last, parents, lm_parents, memory, lm_memory, found = carry
    places, num = compact(jnp.pad(is_live, (0, spare)))
    slots = jnp.cumsum(is_live) - 1

    def rows_of(parents):
      return Rows(parents[places], last[places], units[places], num)

    scored: Scored = unchanged
    if lm is not None:
      lm_rows = rows_of(lm_parents)
      lm_memory, prefixes = advance_prefixes(lm, lm_memory, lm_rows, batch)
      lm_parents = prefixes[slots]
      scored = mutual_information(lm_memory, prefixes, temperature)

    def picked(log_probs, chunk):
      return pick(scored(log_probs, chunk), places[chunk], position)

    memory = advance(searched.model, memory, rows_of(parents), batch, picked)
    picks = jax.tree.map(lambda x: x[slots], memory.summaries)
    last = jnp.where(is_live, picks.tokens, stop_id).astype(jnp.int32)
    found = Hypotheses(
      tokens=found.tokens.at[:, position].set(last),
      scores=found.scores + jnp.where(is_live, picks.scores, 0.0),
      margins=jnp.where(
        is_live, jnp.minimum(found.margins, picks.margins), found.margins
      ),
    )
    is_live = is_live & ((last != stop_id) | count_tail)
    return position + 1, is_live, last, slots, lm_parents, memory, lm_memory, found

  found = Hypotheses(
    jnp.full((batch, length), stop_id, jnp.int32),
    jnp.zeros(batch),
    jnp.full(batch, jnp.inf),
  )
  carry = (
    jnp.zeros((), jnp.int32),
    valid,
    jnp.full(batch, start_id, jnp.int32),
    searched.rows,
    (lm or searched).rows,
    memory,
    lm_memory,
    found,
  )
  *_, memory, lm_memory, found = jax.lax.while_loop(unfinished, step, carry)
  return RolledOut(found, memory.work, None if lm_memory is None else lm_memory.work)


def _best(
  scores: Float[Array, "rows vocab"],
  places: Int[Array, "rows"],
  position: Int[Array, ""],
) -> Picks:
  del places, position
  return Picks(*best_of_rows(scores))


def greedy(
  searched: Searched,
  *,
  valid: Bool[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
  lm: Searched | None = None,
  temperature: float = 0.0,
  count_tail: bool = False,
) -> RolledOut:
  """Picks the best token at each step.

  Args:
    searched: p(token | regions, tokens before), and where each unit begins.
    valid: units that are no padding; nothing is computed for others.
    length: most tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description; its unit needs no model afterwards.
    lm: p(token | tokens before), to score by mutual information as `beam_search` does.
    temperature: weight of `lm`.
    count_tail: go on after stop and count that tail, as the original's code does.
      Its scores then depend on what the model says once it has finished.
  """
  return _rollout(
    searched,
    _best,
    valid=valid,
    length=length,
    start_id=start_id,
    stop_id=stop_id,
    lm=lm,
    temperature=temperature,
    count_tail=count_tail,
  )


def sample(
  searched: Searched,
  *,
  keys: Key[Array, "batch"],
  valid: Bool[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
  lm: Searched | None = None,
  temperature: float = 0.0,
) -> RolledOut:
  """Draws each token from the softmax of the step scores.

  Args:
    searched: p(token | regions, tokens before), and where each unit begins.
    keys: one key per unit, so that a unit's draw does not depend on its batch.
    valid: units that are no padding; nothing is computed for others.
    length: most tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.
    lm: p(token | tokens before), to score by mutual information as `beam_search` does.
    temperature: weight of `lm`.
  """

  def draw(scores, places, position):
    tokens = jax.vmap(
      lambda key, row: jax.random.categorical(jax.random.fold_in(key, position), row)
    )(keys[places], scores)
    gains = jnp.take_along_axis(scores, tokens[:, None], axis=1)[:, 0]
    return Picks(tokens.astype(jnp.int32), gains, jnp.full(len(tokens), jnp.inf))

  return _rollout(
    searched,
    draw,
    valid=valid,
    length=length,
    start_id=start_id,
    stop_id=stop_id,
    lm=lm,
    temperature=temperature,
    count_tail=False,
  )
