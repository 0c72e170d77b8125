"""Beam search: the best descriptions of each unit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.search.advance import Rows, advance, allocate
from milan_jax._src.search.prefixes import (
  Scored,
  advance_prefixes,
  mutual_information,
  unchanged,
)
from milan_jax._src.search.rows import compact, pad_rows
from milan_jax._src.search.selection import best_continuations, in_vocabulary_chunks
from milan_jax._src.search.steps import Beams, Searched, Work


class Pool(NamedTuple):
  """The hypotheses of each unit, best first, finished or not.

  Attributes:
    scores: summed step scores.
    tokens: the tokens predicted; stop from the first stop on.
    last: the token predicted last.
    parents: the packed row of the state that predicted it.
    lm_parents: likewise, of the language model.
  """

  scores: Float[Array, "batch beam"]
  tokens: Int[Array, "batch beam length"]
  last: Int[Array, "batch beam"]
  parents: Int[Array, "batch beam"]
  lm_parents: Int[Array, "batch beam"]


class Found(NamedTuple):
  """Beams, and the rows that finding them took of each model."""

  beams: Beams
  work: Work
  lm_work: Work | None


def beam_search(
  searched: Searched,
  *,
  valid: Bool[Array, "batch"],
  beam_size: int,
  length: int,
  start_id: int,
  stop_id: int,
  lm: Searched | None = None,
  temperature: float = 0.0,
) -> Found:
  """Keeps the `beam_size` best hypotheses of each unit, finished or not, in one pool.

  A finished hypothesis stays in the pool with its score and needs no model. Scores are
  summed log-probabilities, with no normalisation by length; with mutual information
  they can rise, so nothing is pruned on the belief that they only fall.

  Args:
    searched: p(token | regions, tokens before), and where each unit begins.
    valid: units that are no padding; nothing is computed for others.
    beam_size: number of hypotheses kept.
    length: most tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.
    lm: p(token | tokens before); with it each token is scored by its weighted
      pointwise mutual information, `log p(token | regions) - temperature * log
      p(token)`, which is no log-probability and can be positive.
    temperature: weight of `lm`.

  Returns:
    The hypotheses of each unit, best first. Where fewer exist than `beam_size` (a
    small vocabulary at a short length), the rest scores minus infinity.

  Source: Hernandez et al. 2022, section 3; equation 2 for the mutual information.
  """
  batch = valid.shape[0]
  most = batch * beam_size
  spare = pad_rows(most) - most
  units = jnp.repeat(jnp.arange(batch, dtype=jnp.int32), beam_size)

  # At first each pool holds one hypothesis, which has read nothing.
  shape = (batch, beam_size)
  is_first = (jnp.arange(beam_size) == 0)[None] & valid[:, None]
  pool = Pool(
    scores=jnp.where(is_first, 0.0, -jnp.inf),
    tokens=jnp.full((*shape, length), stop_id, jnp.int32),
    last=jnp.where(is_first, start_id, stop_id).astype(jnp.int32),
    parents=jnp.broadcast_to(searched.rows[:, None], shape),
    lm_parents=jnp.broadcast_to((lm or searched).rows[:, None], shape),
  )

  def in_chunks(scored):
    return lambda *row: in_vocabulary_chunks(scored(*row))

  memory = allocate(searched.model, searched.state, most, in_chunks(unchanged))
  lm_memory = None if lm is None else allocate(lm.model, lm.state, most, unchanged)

  def unfinished(carry):
    position, pool, *_ = carry
    return (position < length) & jnp.any(pool.last != stop_id)

  def advance_pool(carry):
    position, pool, memory, lm_memory = carry
    is_live = pool.last != stop_id
    places, num = compact(jnp.pad(is_live.reshape(-1), (0, spare)))
    slots = (jnp.cumsum(is_live.reshape(-1)) - 1).reshape(shape)

    def rows_of(parents):
      parents, last = parents.reshape(-1), pool.last.reshape(-1)
      return Rows(parents[places], last[places], units[places], num)

    lm_slots = slots
    scored: Scored = unchanged
    if lm is not None:
      lm_memory, prefixes = advance_prefixes(
        lm, lm_memory, rows_of(pool.lm_parents), most
      )
      lm_slots = prefixes[slots]
      scored = mutual_information(lm_memory, prefixes, temperature)
    rows = rows_of(pool.parents)
    memory = advance(searched.model, memory, rows, most, in_chunks(scored))
    found = best_continuations(
      pool.scores, is_live, slots, memory.summaries, stop_id=stop_id
    )

    def of_owners(values):
      return jnp.take_along_axis(values, found.owners, axis=1)

    tokens = jnp.take_along_axis(pool.tokens, found.owners[:, :, None], axis=1)
    pool = Pool(
      scores=found.scores,
      tokens=tokens.at[:, :, position].set(found.tokens),
      last=found.tokens,
      parents=of_owners(slots),
      lm_parents=of_owners(lm_slots),
    )
    return position + 1, pool, memory, lm_memory

  carry = (jnp.zeros((), jnp.int32), pool, memory, lm_memory)
  carry = jax.lax.while_loop(unfinished, advance_pool, carry)
  num_steps, pool, memory, lm_memory = carry
  beams = Beams(pool.tokens, pool.scores, num_steps)
  return Found(beams, memory.work, None if lm_memory is None else lm_memory.work)
