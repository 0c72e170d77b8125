"""Searches that follow one hypothesis per unit: greedy and sampling."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from milan_jax._src.search.advance import Memory, Rows, advance, allocate
from milan_jax._src.search.prefixes import (
  StepScorer,
  advance_prefixes,
  mutual_information,
  unchanged,
)
from milan_jax._src.search.rows import CPU_ROWS, Packing, compact, slots_of
from milan_jax._src.search.selection import row_maxima, row_maxima_in_chunks
from milan_jax._src.search.steps import BoundModel, Hypotheses, Work


class NextTokens(NamedTuple):
  """The token chosen for each of some rows.

  Attributes:
    tokens: the tokens.
    scores: their step scores.
    margins: difference to the next best score; infinity for sampled tokens.
  """

  tokens: Int[Array, "rows"]
  scores: Float[Array, "rows"]
  margins: Float[Array, "rows"]


# Chooses tokens by their step scores, given the rows' units and the position.
ChooseTokens = Callable[
  [Float[Array, "rows vocab"], Int[Array, "rows"], Int[Array, ""]], NextTokens
]


class RolloutState(NamedTuple):
  """The loop state of a rollout.

  Attributes:
    position: tokens predicted so far.
    is_live: units whose description is not finished.
    last: the token predicted last.
    parents: the packed row of the state that predicted it.
    lm_parents: the same for the language model.
    memory: the captioner's states and chosen tokens, one packed row per live unit.
    lm_memory: the language model's, one packed row per distinct prefix; None without.
    hypotheses: the descriptions so far.
  """

  position: Int[Array, ""]
  is_live: Bool[Array, "batch"]
  last: Int[Array, "batch"]
  parents: Int[Array, "batch"]
  lm_parents: Int[Array, "batch"]
  memory: Memory
  lm_memory: Memory | None
  hypotheses: Hypotheses


class RolloutOutput(NamedTuple):
  """The hypothesis of each unit, and the rows that each model computed.

  Attributes:
    hypotheses: the descriptions.
    work: rows of the captioner.
    lm_work: rows of the language model; None without one.
  """

  hypotheses: Hypotheses
  work: Work
  lm_work: Work | None


def _rollout(
  captioner: BoundModel,
  choose: ChooseTokens,
  *,
  valid: Bool[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
  lm: BoundModel | None,
  temperature: float,
  count_tail: bool,
  packing: Packing,
) -> RolloutOutput:
  """Predicts tokens for the live units one by one, chosen by their step scores."""
  batch = valid.shape[0]
  units = jnp.arange(batch, dtype=jnp.int32)

  def choose_first(
    log_probs: Float[Array, "rows vocab"], indices: Int[Array, "rows"]
  ) -> NextTokens:
    return choose(log_probs, indices, jnp.zeros((), jnp.int32))

  allocated = functools.partial(allocate, max_rows=batch, packing=packing)
  memory = allocated(captioner.model, captioner.state, summarize=choose_first)
  lm_memory = None if lm is None else allocated(lm.model, lm.state, summarize=unchanged)

  def unfinished(state: RolloutState) -> Bool[Array, ""]:
    return (state.position < length) & jnp.any(state.is_live)

  def step(state: RolloutState) -> RolloutState:
    return _step(
      state,
      captioner,
      lm,
      units,
      choose,
      temperature=temperature,
      stop_id=stop_id,
      count_tail=count_tail,
      packing=packing,
    )

  nothing = Hypotheses(
    jnp.full((batch, length), stop_id, jnp.int32),
    jnp.zeros(batch),
    jnp.full(batch, jnp.inf),
  )
  state = RolloutState(
    position=jnp.zeros((), jnp.int32),
    is_live=valid,
    last=jnp.full(batch, start_id, jnp.int32),
    parents=captioner.rows,
    lm_parents=(lm or captioner).rows,
    memory=memory,
    lm_memory=lm_memory,
    hypotheses=nothing,
  )
  state = jax.lax.while_loop(unfinished, step, state)
  return RolloutOutput(
    state.hypotheses,
    state.memory.work,
    None if state.lm_memory is None else state.lm_memory.work,
  )


def _step(
  state: RolloutState,
  captioner: BoundModel,
  lm: BoundModel | None,
  units: Int[Array, "batch"],
  choose: ChooseTokens,
  *,
  temperature: float,
  stop_id: int,
  count_tail: bool,
  packing: Packing,
) -> RolloutState:
  """Advances the live units by one token."""
  position, is_live, last, parents, lm_parents, memory, lm_memory, before = state
  batch = len(units)
  indices, num = compact(jnp.pad(is_live, (0, packing.capacity(batch) - batch)))
  slots = slots_of(is_live)

  def rows_of(parents: Int[Array, "batch"]) -> Rows:
    return Rows(parents[indices], last[indices], units[indices], num)

  scorer: StepScorer = unchanged
  if lm is not None and lm_memory is not None:
    lm_rows = rows_of(lm_parents)
    lm_memory, prefixes = advance_prefixes(
      lm, lm_memory, lm_rows, batch, packing=packing
    )
    lm_parents = prefixes[slots]
    scorer = mutual_information(lm_memory, prefixes, temperature)

  def choose_next(
    log_probs: Float[Array, "rows vocab"], chunk: Int[Array, "rows"]
  ) -> NextTokens:
    return choose(scorer(log_probs, chunk), indices[chunk], position)

  rows = rows_of(parents)
  memory = advance(captioner.model, memory, rows, batch, choose_next, packing=packing)
  chosen = jax.tree.map(lambda x: x[slots], memory.summaries)
  last = jnp.where(is_live, chosen.tokens, stop_id).astype(jnp.int32)
  hypotheses = _extended(before, chosen, last, is_live, position)
  is_live = is_live & ((last != stop_id) | count_tail)
  return RolloutState(
    position + 1, is_live, last, slots, lm_parents, memory, lm_memory, hypotheses
  )


def _extended(
  hypotheses: Hypotheses,
  chosen: NextTokens,
  last: Int[Array, "batch"],
  is_live: Bool[Array, "batch"],
  position: Int[Array, ""],
) -> Hypotheses:
  """Returns the hypotheses with one more token; finished ones add another stop."""
  margins = hypotheses.margins
  return Hypotheses(
    tokens=hypotheses.tokens.at[:, position].set(last),
    scores=hypotheses.scores + jnp.where(is_live, chosen.scores, 0.0),
    margins=jnp.where(is_live, jnp.minimum(margins, chosen.margins), margins),
  )


def greedy(
  captioner: BoundModel,
  *,
  valid: Bool[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
  lm: BoundModel | None = None,
  temperature: float = 0.0,
  count_tail: bool = False,
  packing: Packing = CPU_ROWS,
) -> RolloutOutput:
  """Selects the best token at each step.

  Args:
    captioner: p(token | regions, previous tokens), and each unit's initial row.
    valid: units that are not padding; nothing is computed for the others.
    length: maximum tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description; finished units are not computed.
    lm: p(token | previous tokens), to score by mutual information like `beam_search`.
    temperature: weight of `lm`.
    count_tail: continue after stop and include that tail in the score, like the
      original. Scores then depend on the predictions after the stop.
    packing: sizes of the rows computed together.
  """

  def choose_best(
    scores: Float[Array, "rows vocab"],
    indices: Int[Array, "rows"],
    position: Int[Array, ""],
  ) -> NextTokens:
    del indices, position
    if packing.accelerator:
      return NextTokens(*row_maxima(scores))
    return NextTokens(*row_maxima_in_chunks(scores, packing.tokens))

  return _rollout(
    captioner,
    choose_best,
    valid=valid,
    length=length,
    start_id=start_id,
    stop_id=stop_id,
    lm=lm,
    temperature=temperature,
    count_tail=count_tail,
    packing=packing,
  )


def sample(
  captioner: BoundModel,
  *,
  keys: Key[Array, "batch"],
  valid: Bool[Array, "batch"],
  length: int,
  start_id: int,
  stop_id: int,
  lm: BoundModel | None = None,
  temperature: float = 0.0,
  packing: Packing = CPU_ROWS,
) -> RolloutOutput:
  """Draws each token from the softmax of the step scores.

  Args:
    captioner: p(token | regions, previous tokens), and each unit's initial row.
    keys: one key per unit, so that a unit's draw does not depend on its batch.
    valid: units that are not padding; nothing is computed for the others.
    length: maximum tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.
    lm: p(token | previous tokens), to score by mutual information like `beam_search`.
    temperature: weight of `lm`.
    packing: sizes of the rows computed together.
  """

  def draw(
    scores: Float[Array, "rows vocab"],
    indices: Int[Array, "rows"],
    position: Int[Array, ""],
  ) -> NextTokens:
    tokens = jax.vmap(
      lambda key, row: jax.random.categorical(jax.random.fold_in(key, position), row)
    )(keys[indices], scores)
    gains = jnp.take_along_axis(scores, tokens[:, None], axis=1)[:, 0]
    return NextTokens(tokens.astype(jnp.int32), gains, jnp.full(len(tokens), jnp.inf))

  return _rollout(
    captioner,
    draw,
    valid=valid,
    length=length,
    start_id=start_id,
    stop_id=stop_id,
    lm=lm,
    temperature=temperature,
    count_tail=False,
    packing=packing,
  )
