"""Scores of given descriptions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.search.advance import Rows, allocate
from milan_jax._src.search.prefixes import advance_prefixes, unchanged
from milan_jax._src.search.rows import compact, pad_rows
from milan_jax._src.search.steps import Searched, Work


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
  searched: Searched,
  tokens: Int[Array, "batch beam length"],
  counts: Bool[Array, "batch beam length"],
  *,
  start_id: int,
) -> tuple[Float[Array, "batch beam"], Work]:
  """Sums the log-probabilities of the tokens of given descriptions that count.

  Args:
    searched: the model, and where each unit begins.
    tokens: tokens of each description, without the start.
    counts: which tokens count, from the first on; see `counted`.
    start_id: the token read first.

  Returns:
    The score of each description, in nats, and the rows that it took.
  """
  batch, beam, length = tokens.shape
  most = batch * beam
  memory = allocate(searched.model, searched.state, most, unchanged)
  units = jnp.repeat(jnp.arange(batch, dtype=jnp.int32), beam)
  inputs = jnp.pad(tokens, ((0, 0), (0, 0), (1, 0)), constant_values=start_id)
  inputs = inputs.reshape(most, length + 1)
  counts = counts.reshape(most, length)
  spare = pad_rows(most) - most

  def step(carry):
    position, parents, memory, scores = carry
    counted = counts[:, position]
    places, num = compact(jnp.pad(counted, (0, spare)))
    # Rows of the padding repeat the first one.
    rows = Rows(parents[places], inputs[:, position][places], units[places], num)
    memory, prefixes = advance_prefixes(searched, memory, rows, most)
    slots = jnp.cumsum(counted) - 1
    prefixes = prefixes[slots]
    targets = inputs[:, position + 1]
    gains = memory.summaries[prefixes, targets]
    scores = scores + jnp.where(counted, gains, 0.0)
    return position + 1, prefixes, memory, scores

  num_steps = jnp.max(jnp.where(counts, jnp.arange(1, length + 1)[None], 0))
  parents = jnp.repeat(searched.rows, beam)
  carry = (jnp.zeros((), jnp.int32), parents, memory, jnp.zeros(most))
  _, _, memory, scores = jax.lax.while_loop(lambda c: c[0] < num_steps, step, carry)
  return scores.reshape(batch, beam), memory.work
