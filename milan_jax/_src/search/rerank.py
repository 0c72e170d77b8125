"""Reranking: mutual information of whole descriptions, and their consensus."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from milan_jax._src.search.selection import row_maxima
from milan_jax._src.search.steps import Beams, Hypotheses


class RerankOutput(NamedTuple):
  """The best hypothesis of each unit.

  Attributes:
    hypotheses: the best ones.
    indices: the index of each in its beam.
    scores: the ranking scores of all hypotheses.
  """

  hypotheses: Hypotheses
  indices: Int[Array, "batch"]
  scores: Float[Array, "batch beam"]


def rerank(
  beams: Beams,
  lm_scores: Float[Array, "batch beam"],
  *,
  temperature: float,
  support: Float[Array, "batch beam"] | None = None,
  plausible: Bool[Array, "batch beam"] | None = None,
) -> RerankOutput:
  """Picks the hypothesis with the highest weighted pointwise mutual information.

  Args:
    beams: hypotheses with their `log p(description | regions)`.
    lm_scores: `log p(description)` of each.
    temperature: weight of the language model.
    support: additional terms of each score, in nats: the weighted log-consensus, log
      probability of its words and coverage; None for nothing.
    plausible: hypotheses to choose from; where a unit has none of these, and for None,
      from all. The others get a score of minus infinity.

  Returns:
    The best hypothesis of each unit, scored
    `log p(description | regions) - temperature * log p(description) + support`.

  Source: Hernandez et al. 2022, equation 2; the support is an addition.
  """
  scores = beams.scores - temperature * lm_scores
  if support is not None:
    scores = scores + support
  if plausible is not None:
    plausible = plausible & jnp.isfinite(beams.scores)
    kept = plausible | ~plausible.any(axis=-1, keepdims=True)
    scores = jnp.where(kept, scores, -jnp.inf)
  return best_of(beams._replace(scores=scores))


def best_of(beams: Beams) -> RerankOutput:
  """Selects the hypothesis with the highest score; the first of several on a tie."""
  best = row_maxima(beams.scores)
  tokens = jnp.take_along_axis(beams.tokens, best.indices[:, None, None], axis=1)[:, 0]
  found = Hypotheses(tokens, best.scores, best.margins)
  return RerankOutput(found, best.indices, beams.scores)
