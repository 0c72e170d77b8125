"""Descriptions that ignore the regions: one constant caption, and those of other units.

Text overlap rewards a typical sentence, so a score means little without them.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from milan_jax._src.scores.text_metric import References, TextMetric

# How many captions are tried as the constant one, and on how many units.
_TRIED, _UNITS = 120, 200


def constant_caption(known: References, metric: TextMetric) -> str:
  """Returns the caption with the highest score when it is given for every unit.

  Args:
    known: captions of the training units, at least one. The most frequent ones and
      others at even distances are tried, on units at even distances.
    metric: its first score is maximized.
  """

  def score(text: str) -> float:
    totals = metric.statistics([text] * len(units), units).sum(0, keepdims=True)
    return float(metric.scores(totals)[0, 0])

  texts = [text for references in known for text in references if text] or [""]
  counts = Counter(texts)
  frequent = sorted(counts, key=lambda text: -counts[text])[: _TRIED // 3]
  spread = [texts[i] for i in _even(len(texts), _TRIED - len(frequent))]
  units = [known[i] for i in _even(len(known), _UNITS)]
  tried = dict.fromkeys([*frequent, *spread])
  return max(tried, key=score)


def shuffled(said: Sequence[str], seed: int) -> list[str]:
  """Gives each unit the description of another unit.

  Args:
    said: a description of each unit; a single one is kept.
    seed: seeds the order.
  """
  order = np.random.default_rng(seed).permutation(len(said))
  found = list(said)
  for place, other in zip(order.tolist(), np.roll(order, 1).tolist(), strict=True):
    found[place] = said[other]
  return found


def _even(number: int, most: int) -> list[int]:
  found: list[int] = np.unique(
    np.linspace(0, number - 1, min(number, most)).astype(int)
  ).tolist()
  return found
