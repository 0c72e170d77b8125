"""Reranking: mutual information of whole descriptions."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from milan_jax.search.selection import best_of_rows
from milan_jax.search.steps import Beams, Hypotheses


class Reranked(NamedTuple):
  """The best hypothesis of each unit, and where it stood among its beams."""

  hypotheses: Hypotheses
  places: Int[Array, "batch"]


def rerank(
  beams: Beams, lm_scores: Float[Array, "batch beam"], *, temperature: float
) -> Reranked:
  """Picks the hypothesis with the highest weighted pointwise mutual information.

  Args:
    beams: hypotheses with their `log p(description | regions)`.
    lm_scores: `log p(description)` of each.
    temperature: weight of the language model.

  Returns:
    The best hypothesis of each unit, scored
    `log p(description | regions) - temperature * log p(description)`.

  Source: Hernandez et al. 2022, equation 2.
  """
  return best_of(beams._replace(scores=beams.scores - temperature * lm_scores))


def best_of(beams: Beams) -> Reranked:
  """Picks the hypothesis with the highest score, the first where several have it."""
  best = best_of_rows(beams.scores)
  tokens = jnp.take_along_axis(beams.tokens, best.places[:, None, None], axis=1)[:, 0]
  return Reranked(Hypotheses(tokens, best.scores, best.margins), best.places)
