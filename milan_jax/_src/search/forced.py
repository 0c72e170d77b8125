"""Forced decoding: the scores of given descriptions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.search.advance import Memory, Rows, allocate
from milan_jax._src.search.prefixes import advance_prefixes, unchanged
from milan_jax._src.search.rows import CPU_ROWS, Packing, compact, slots_of
from milan_jax._src.search.steps import BoundModel, Work


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
    num_steps: number of steps of the search; only used with `one_too_many`.
    one_too_many: also count the token after the first stop, if the search took that
      many steps. The original's language model scores this way, so a description's
      score depends on its batch.
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


class ForcedState(NamedTuple):
  """The loop state of forced scoring.

  Attributes:
    position: tokens read so far.
    parents: the packed row of each description's state, one per distinct prefix.
    memory: the model's states and log-probabilities, packed by distinct prefix.
    scores: the scores so far.
    lowest: the lowest log-probability of a token so far.
    last: the log-probability of the last token that counted so far.
  """

  position: Int[Array, ""]
  parents: Int[Array, "batch_beam"]
  memory: Memory
  scores: Float[Array, "batch_beam"]
  lowest: Float[Array, "batch_beam"]
  last: Float[Array, "batch_beam"]


class ForcedOutput(NamedTuple):
  """The scores of given descriptions, in nats.

  Attributes:
    scores: the summed log-probabilities of the tokens that count.
    lowest: the lowest log-probability of a token that counts; infinity without any.
    last: the log-probability of the last token that counts; 0 without any.
    work: the rows that it took.
  """

  scores: Float[Array, "batch beam"]
  lowest: Float[Array, "batch beam"]
  last: Float[Array, "batch beam"]
  work: Work


def forced_scores(
  bound: BoundModel,
  tokens: Int[Array, "batch beam length"],
  counts: Bool[Array, "batch beam length"],
  *,
  start_id: int,
  packing: Packing = CPU_ROWS,
) -> ForcedOutput:
  """Sums the log probabilities of the counted tokens of given descriptions.

  Args:
    bound: the model, and each unit's initial row.
    tokens: tokens of each description, without the start.
    counts: the mask of tokens that count; see `counted`.
    start_id: the token read first.
    packing: sizes of the rows computed together.
  """
  batch, beam, length = tokens.shape
  max_rows = batch * beam
  memory = allocate(bound.model, bound.state, max_rows, unchanged, packing=packing)
  units = jnp.repeat(jnp.arange(batch, dtype=jnp.int32), beam)
  inputs = jnp.pad(tokens, ((0, 0), (0, 0), (1, 0)), constant_values=start_id)
  inputs = inputs.reshape(max_rows, length + 1)
  counts = counts.reshape(max_rows, length)
  padding = packing.capacity(max_rows) - max_rows

  def step(state: ForcedState) -> ForcedState:
    position, parents, memory, scores, lowest, last = state
    is_counted = counts[:, position]
    indices, num = compact(jnp.pad(is_counted, (0, padding)))
    # Rows of the padding repeat the first one.
    rows = Rows(parents[indices], inputs[:, position][indices], units[indices], num)
    memory, prefixes = advance_prefixes(bound, memory, rows, max_rows, packing=packing)
    prefixes = prefixes[slots_of(is_counted)]
    targets = inputs[:, position + 1]
    gains = memory.summaries[prefixes, targets]
    scores = scores + jnp.where(is_counted, gains, 0.0)
    lowest = jnp.minimum(lowest, jnp.where(is_counted, gains, jnp.inf))
    last = jnp.where(is_counted, gains, last)
    return ForcedState(position + 1, prefixes, memory, scores, lowest, last)

  num_steps = jnp.max(jnp.where(counts, jnp.arange(1, length + 1)[None], 0))
  parents = jnp.repeat(bound.rows, beam)
  state = ForcedState(
    position=jnp.zeros((), jnp.int32),
    parents=parents,
    memory=memory,
    scores=jnp.zeros(max_rows),
    lowest=jnp.full(max_rows, jnp.inf),
    last=jnp.zeros(max_rows),
  )
  state = jax.lax.while_loop(lambda state: state.position < num_steps, step, state)
  scores, lowest, last = (
    x.reshape(batch, beam) for x in (state.scores, state.lowest, state.last)
  )
  return ForcedOutput(scores, lowest, last, state.memory.work)
