"""ROUGE, as Google's rouge-score computes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError
from milan_jax._src.scores.text_metric import References

_KINDS = ("rougeL", "rouge1", "rouge2")


class Rouge:
  """Mean F1 of ROUGE-L, ROUGE-1 and ROUGE-2 over pairs of description and reference.

  Each reference is a pair of its own, as in the original; empty ones are left out. The
  original used the package `rouge`, which counts a repeated n-gram once and keeps
  punctuation.

  Raises:
    UserError: if rouge-score is not installed.
  """

  names = ("rouge_l", "rouge_1", "rouge_2")
  identity = "rouge"

  def __init__(self) -> None:
    try:
      from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
      raise UserError(
        "ROUGE needs rouge-score: pip install 'milan-jax[scores]'."
      ) from error
    self._scorer: Any = RougeScorer(list(_KINDS))

  def statistics(
    self, said: Sequence[str], known: References
  ) -> Float[np.ndarray, "units statistics"]:
    """Adds up each unit's F1 values and counts its pairs."""
    rows = []
    for text, references in zip(said, known, strict=True):
      pairs = [self._scorer.score(each, text) for each in references if each]
      sums = [sum(pair[kind].fmeasure for pair in pairs) for kind in _KINDS]
      rows.append([*sums, len(pairs)])
    return np.array(rows, float).reshape(len(rows), len(_KINDS) + 1)

  def scores(
    self, totals: Float[np.ndarray, "sums statistics"]
  ) -> Float[np.ndarray, "sums names"]:
    """Computes mean F1 values, 0 to 1; 0 without any reference."""
    means: np.ndarray = totals[:, :-1] / np.maximum(totals[:, -1:], 1e-9)
    return means
