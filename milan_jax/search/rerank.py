"""Reranking: mutual information of whole descriptions."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from milan_jax.search.steps import Beams, Hypotheses


def rerank(
  beams: Beams, lm_scores: Float[Array, "batch beam"], *, temperature: float
) -> Hypotheses:
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
  scores = beams.scores - temperature * lm_scores
  best = jnp.argmax(scores, axis=-1)
  return Hypotheses(
    jnp.take_along_axis(beams.tokens, best[:, None, None], axis=1)[:, 0],
    jnp.take_along_axis(scores, best[:, None], axis=1)[:, 0],
  )
