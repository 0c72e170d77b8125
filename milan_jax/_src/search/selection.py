"""The best continuations of a pool of hypotheses, exactly."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class StepScores(NamedTuple):
  """Scores of the next token, for each packed row, in chunks of the vocabulary.

  Attributes:
    chunks: the scores; minus infinity beyond the vocabulary.
    maxima: the largest of each chunk.
  """

  chunks: Float[Array, "rows chunks chunk"]
  maxima: Float[Array, "rows chunks"]


class Continuations(NamedTuple):
  """The best continuations of each unit's pool, best first.

  Attributes:
    scores: summed step scores; minus infinity if there are fewer.
    owners: the index of the continued hypothesis.
    tokens: the added token.
  """

  scores: Float[Array, "batch beam"]
  owners: Int[Array, "batch beam"]
  tokens: Int[Array, "batch beam"]


class RowMaxima(NamedTuple):
  """The best candidate of each row.

  Attributes:
    indices: its index; the first on a tie.
    scores: its score.
    margins: difference to the next best score; infinity if there is no other.
  """

  indices: Int[Array, "rows"]
  scores: Float[Array, "rows"]
  margins: Float[Array, "rows"]


def row_maxima(scores: Float[Array, "rows candidates"]) -> RowMaxima:
  """Finds the best candidate of each row, and its margin."""
  indices = jnp.argmax(scores, axis=-1).astype(jnp.int32)
  best = jnp.take_along_axis(scores, indices[:, None], axis=1)[:, 0]
  is_best = jnp.arange(scores.shape[1])[None] == indices[:, None]
  others = jnp.where(is_best, -jnp.inf, scores)
  return RowMaxima(indices, best, best - others.max(axis=-1))


def in_vocabulary_chunks(
  step_scores: Float[Array, "rows vocab"], size: int
) -> StepScores:
  """Cuts the vocabulary into chunks of `size` tokens and finds the largest of each."""
  rows, vocab = step_scores.shape
  padding = ((0, 0), (0, -vocab % size))
  padded = jnp.pad(step_scores, padding, constant_values=-jnp.inf)
  chunks = padded.reshape(rows, -1, size)
  return StepScores(chunks, chunks.max(axis=-1))


def row_maxima_in_chunks(
  scores: Float[Array, "rows candidates"], size: int
) -> RowMaxima:
  """Finds what `row_maxima` finds, for many candidates several times as fast on a CPU.

  Args:
    scores: the candidates of each row.
    size: candidates in a chunk.
  """
  chunks, maxima = in_vocabulary_chunks(scores, size)
  best = row_maxima(maxima)
  within = row_maxima(chunks[jnp.arange(len(scores)), best.indices])
  margins = jnp.minimum(best.margins, within.margins)
  return RowMaxima(best.indices * size + within.indices, within.scores, margins)


def best_continuations(
  scores: Float[Array, "batch beam"],
  is_live: Bool[Array, "batch beam"],
  slots: Int[Array, "batch beam"],
  step_scores: StepScores,
  *,
  stop_id: int,
  candidates: int = 0,
) -> Continuations:
  """Finds the `beam` best continuations of each unit's `beam` hypotheses.

  A finished hypothesis continues with another stop and the same score. Each of the best
  continuations is in one of the `beam` chunks with the largest maxima, so only those
  are searched, which on a CPU is several times faster than a top-k over all candidates.
  Ties are ordered by hypothesis, then by token.

  Args:
    scores: scores so far; minus infinity where a beam has no hypothesis.
    is_live: the unfinished hypotheses.
    slots: the row of `step_scores` of each unfinished hypothesis.
    step_scores: the scores of their next tokens. The size of their chunks does not
      change the result.
    stop_id: the token that finished hypotheses add.
    candidates: the fewest candidates of a top-k; see `Packing`.
  """
  batch, beam = scores.shape
  size = step_scores.chunks.shape[-1]
  live = is_live[:, :, None]
  maxima = jnp.where(live, scores[:, :, None] + step_scores.maxima[slots], -jnp.inf)
  # The first chunk of a finished hypothesis represents the hypothesis itself.
  width = maxima.shape[-1]
  is_first = (jnp.arange(width) == 0)[None, None]
  maxima = jnp.where(is_first & ~live, scores[:, :, None], maxima)
  indices = _top_k(maxima.reshape(batch, -1), beam, candidates)[1]
  owners, chunks = jnp.divmod(jnp.sort(indices, axis=-1), width)

  def of_owners(values: Array) -> Array:
    return jnp.take_along_axis(values, owners, axis=1)

  is_chunk = of_owners(is_live)
  is_itself = ~is_chunk & (chunks == 0)
  rows, columns = (jnp.where(is_chunk, x, 0) for x in (of_owners(slots), chunks))
  gains = step_scores.chunks[rows, columns]
  stays = jnp.where(jnp.arange(size) == 0, 0.0, -jnp.inf)[None, None]
  stays = jnp.where(is_itself[:, :, None], stays, -jnp.inf)
  gains = jnp.where(is_chunk[:, :, None], gains, stays)
  continued = of_owners(scores)[:, :, None] + gains
  best, picks = _top_k(continued.reshape(batch, -1), beam, candidates)
  entries, within = jnp.divmod(picks, size)

  def of_entries(values: Array) -> Array:
    return jnp.take_along_axis(values, entries, axis=1)

  tokens = of_entries(chunks) * size + within
  adds = of_entries(is_chunk) & (best > -jnp.inf)
  tokens = jnp.where(adds, tokens, stop_id).astype(jnp.int32)
  return Continuations(best, of_entries(owners), tokens)


def _top_k(
  scores: Float[Array, "batch candidates"], number: int, candidates: int
) -> tuple[Float[Array, "batch number"], Int[Array, "batch number"]]:
  """Returns the largest scores of each row in order, and their indices.

  There are at least `number` scores, so the padding is never preferred to one of them.
  """
  padding = max(0, candidates - scores.shape[1])
  padded = jnp.pad(scores, ((0, 0), (0, padding)), constant_values=-jnp.inf)
  best, indices = jax.lax.top_k(padded, number)
  return best, indices
