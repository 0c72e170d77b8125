"""Reranking: mutual information of whole descriptions, and their consensus."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

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
  consensus: Float[Array, "batch beam"] | None = None,
) -> RerankOutput:
  """Picks the hypothesis with the highest weighted pointwise mutual information.

  Args:
    beams: hypotheses with their `log p(description | regions)`.
    lm_scores: `log p(description)` of each.
    temperature: weight of the language model.
    consensus: the weighted log-consensus of each; None for none.

  Returns:
    The best hypothesis of each unit, scored
    `log p(description | regions) - temperature * log p(description) + consensus`.

  Source: Hernandez et al. 2022, equation 2; the consensus is an addition.
  """
  scores = beams.scores - temperature * lm_scores
  if consensus is not None:
    scores = scores + consensus
  return best_of(beams._replace(scores=scores))


def best_of(beams: Beams) -> RerankOutput:
  """Selects the hypothesis with the highest score; the first of several on a tie."""
  best = row_maxima(beams.scores)
  tokens = jnp.take_along_axis(beams.tokens, best.indices[:, None, None], axis=1)[:, 0]
  found = Hypotheses(tokens, best.scores, best.margins)
  return RerankOutput(found, best.indices, beams.scores)
