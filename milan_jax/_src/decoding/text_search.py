"""Units and regions that a given description fits best."""

import dataclasses

import numpy as np
from jaxtyping import Float

from milan_jax._src.decoding.scoring import TextScore, TextScorer
from milan_jax._src.errors import UserError
from milan_jax._src.notebook import Shown
from milan_jax._src.records import Unit
from milan_jax._src.store.feature_store import FeatureStore

# Units that are scored together.
_BATCH = 64


@dataclasses.dataclass(frozen=True, slots=True)
class TextMatch(Shown):
  """A unit that a description fits.

  Attributes:
    unit: the unit.
    score: the description's scores for all of the unit's regions together.
    pmi: log p(description | regions) - log p(description), in nats; without a language
      model, log p(description | regions) alone.
    region_pmis: the same for each region alone; NaN for regions that do not count.

  Example:
    >>> best = captioner.find(exemplars, "red dots", top=2)
    >>> len(best), best[0].pmi >= best[1].pmi, best[0].region_pmis.shape
    (2, True, (5,))
  """

  unit: Unit
  score: TextScore
  pmi: float
  region_pmis: Float[np.ndarray, "k"]


def find_text(
  scorer: TextScorer, store: FeatureStore, text: str, top: int
) -> list[TextMatch]:
  """Finds the units that a description fits best.

  Args:
    scorer: scores descriptions.
    store: features of the units.
    text: the description.
    top: how many units to return at most.

  Raises:
    UserError: the text is empty, or spaCy is not installed.
  """
  if not isinstance(text, str) or not text.strip():
    raise UserError(f"text: expected a description like 'dog faces'; found {text!r}.")
  alive = [unit for unit, dead in store.units(0, len(store)) if not dead]
  found = scorer(store, {unit: [text] for unit in alive}, batch_size=_BATCH)
  # The text is the same, so log p(text) is: ties keep the order of the store.
  best = sorted(alive, key=lambda unit: -found[unit][0].log_prob)[:top]
  if not best:
    return []
  alone = scorer.of_regions(store, best, text)
  matches = []
  for unit, regions in zip(best, alone, strict=True):
    (score,) = found[unit]
    prior = score.lm_log_prob or 0.0
    matches.append(TextMatch(unit, score, score.log_prob - prior, regions - prior))
  return matches
