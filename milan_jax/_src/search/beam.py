"""Beam search: the best descriptions of each unit."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.search.advance import Memory, Rows, Summarize, advance, allocate
from milan_jax._src.search.prefixes import (
  StepScorer,
  advance_prefixes,
  mutual_information,
  unchanged,
)
from milan_jax._src.search.rows import CPU_ROWS, Packing, compact, slots_of
from milan_jax._src.search.selection import (
  Continuations,
  best_continuations,
  in_vocabulary_chunks,
)
from milan_jax._src.search.steps import Beams, BoundModel, Work


class Pool(NamedTuple):
  """The hypotheses of each unit, best first, finished or not.

  Attributes:
    scores: summed step scores.
    tokens: the tokens predicted; stop from the first stop on.
    last: the token predicted last.
    parents: the packed row of the state that predicted it.
    lm_parents: the same for the language model.
  """

  scores: Float[Array, "batch beam"]
  tokens: Int[Array, "batch beam length"]
  last: Int[Array, "batch beam"]
  parents: Int[Array, "batch beam"]
  lm_parents: Int[Array, "batch beam"]


class BeamState(NamedTuple):
  """The loop state of a beam search.

  Attributes:
    position: tokens of each hypothesis predicted so far.
    pool: the hypotheses.
    memory: the captioner's states and step scores, one packed row per live hypothesis.
    lm_memory: the language model's, one packed row per distinct prefix; None without.
  """

  position: Int[Array, ""]
  pool: Pool
  memory: Memory
  lm_memory: Memory | None


class BeamOutput(NamedTuple):
  """The hypotheses of each unit, and the rows that each model computed.

  Attributes:
    beams: the hypotheses, best first.
    work: rows of the captioner.
    lm_work: rows of the language model; None without one.
  """

  beams: Beams
  work: Work
  lm_work: Work | None


def beam_search(
  captioner: BoundModel,
  *,
  valid: Bool[Array, "batch"],
  beam_size: int,
  length: int,
  start_id: int,
  stop_id: int,
  lm: BoundModel | None = None,
  temperature: float = 0.0,
  packing: Packing = CPU_ROWS,
) -> BeamOutput:
  """Keeps the `beam_size` best hypotheses of each unit, finished or not, in one pool.

  A finished hypothesis stays in the pool with its score and needs no model evaluation.
  Scores are summed log probabilities, not normalized by length. With mutual information
  they can increase, so pruning does not assume that scores only decrease.

  Args:
    captioner: p(token | regions, previous tokens), and each unit's initial row.
    valid: units that are not padding; nothing is computed for the others.
    beam_size: number of hypotheses kept.
    length: maximum tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.
    lm: p(token | previous tokens); with it each token is scored by its weighted
      pointwise mutual information, `log p(token | regions) - temperature * log
      p(token)`, which is not a log-probability and can be positive.
    temperature: weight of `lm`.
    packing: sizes of the rows computed together.

  Returns:
    The hypotheses of each unit, best first. If fewer than `beam_size` exist (a small
    vocabulary and a short length), the rest have a score of minus infinity.

  Source: Hernandez et al. 2022, section 3; equation 2 for the mutual information.
  """
  batch = valid.shape[0]
  max_rows = batch * beam_size
  units = jnp.repeat(jnp.arange(batch, dtype=jnp.int32), beam_size)
  shape = (batch, beam_size, length)
  pool = _initial_pool(captioner, lm, valid, shape, start_id, stop_id)
  allocated = functools.partial(allocate, max_rows=max_rows, packing=packing)
  memory = allocated(
    captioner.model, captioner.state, summarize=_in_chunks_of(unchanged, packing)
  )
  lm_memory = None if lm is None else allocated(lm.model, lm.state, summarize=unchanged)

  def unfinished(state: BeamState) -> Bool[Array, ""]:
    return (state.position < length) & jnp.any(state.pool.last != stop_id)

  def step(state: BeamState) -> BeamState:
    return _step(
      state,
      captioner,
      lm,
      units,
      temperature=temperature,
      stop_id=stop_id,
      packing=packing,
    )

  state = BeamState(jnp.zeros((), jnp.int32), pool, memory, lm_memory)
  state = jax.lax.while_loop(unfinished, step, state)
  return BeamOutput(
    Beams(state.pool.tokens, state.pool.scores, state.position),
    state.memory.work,
    None if state.lm_memory is None else state.lm_memory.work,
  )


def _step(
  state: BeamState,
  captioner: BoundModel,
  lm: BoundModel | None,
  units: Int[Array, "batch_beam"],
  *,
  temperature: float,
  stop_id: int,
  packing: Packing,
) -> BeamState:
  """Advances the live hypotheses by one token and keeps the best of each unit.

  `rows.py` has a worked example.
  """
  position, pool, memory, lm_memory = state
  max_rows = len(units)
  is_live = pool.last != stop_id
  mask = jnp.pad(is_live.reshape(-1), (0, packing.capacity(max_rows) - max_rows))
  indices, num = compact(mask)
  slots = slots_of(is_live.reshape(-1)).reshape(is_live.shape)

  def rows_of(parents: Int[Array, "batch beam"]) -> Rows:
    parents, last = parents.reshape(-1), pool.last.reshape(-1)
    return Rows(parents[indices], last[indices], units[indices], num)

  lm_slots = slots
  scorer: StepScorer = unchanged
  if lm is not None and lm_memory is not None:
    lm_rows = rows_of(pool.lm_parents)
    lm_memory, prefixes = advance_prefixes(
      lm, lm_memory, lm_rows, max_rows, packing=packing
    )
    lm_slots = prefixes[slots]
    scorer = mutual_information(lm_memory, prefixes, temperature)
  rows = rows_of(pool.parents)
  summarize = _in_chunks_of(scorer, packing)
  memory = advance(captioner.model, memory, rows, max_rows, summarize, packing=packing)
  best = best_continuations(
    pool.scores,
    is_live,
    slots,
    memory.summaries,
    stop_id=stop_id,
    candidates=packing.candidates,
  )
  pool = _continued(pool, best, position, slots, lm_slots)
  return BeamState(position + 1, pool, memory, lm_memory)


def _initial_pool(
  captioner: BoundModel,
  lm: BoundModel | None,
  valid: Bool[Array, "batch"],
  shape: tuple[int, int, int],
  start_id: int,
  stop_id: int,
) -> Pool:
  """Returns a pool with one empty hypothesis per unit; none for padding units."""
  pool_shape = shape[:2]
  is_start = (jnp.arange(shape[1]) == 0)[None] & valid[:, None]
  return Pool(
    scores=jnp.where(is_start, 0.0, -jnp.inf),
    tokens=jnp.full(shape, stop_id, jnp.int32),
    last=jnp.where(is_start, start_id, stop_id).astype(jnp.int32),
    parents=jnp.broadcast_to(captioner.rows[:, None], pool_shape),
    lm_parents=jnp.broadcast_to((lm or captioner).rows[:, None], pool_shape),
  )


def _continued(
  pool: Pool,
  best: Continuations,
  position: Int[Array, ""],
  slots: Int[Array, "batch beam"],
  lm_slots: Int[Array, "batch beam"],
) -> Pool:
  """Returns the pool after one more token; `slots` are the rows that predicted it."""

  def of_owners(values: Int[Array, "batch beam"]) -> Int[Array, "batch beam"]:
    return jnp.take_along_axis(values, best.owners, axis=1)

  tokens = jnp.take_along_axis(pool.tokens, best.owners[:, :, None], axis=1)
  return Pool(
    scores=best.scores,
    tokens=tokens.at[:, :, position].set(best.tokens),
    last=best.tokens,
    parents=of_owners(slots),
    lm_parents=of_owners(lm_slots),
  )


def _in_chunks_of(scorer: StepScorer, packing: Packing) -> Summarize:
  """Keeps the step scores in chunks of the vocabulary."""
  return lambda log_probs, indices: in_vocabulary_chunks(
    scorer(log_probs, indices), packing.tokens
  )
