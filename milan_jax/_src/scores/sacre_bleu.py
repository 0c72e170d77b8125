"""BLEU, as sacrebleu computes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError
from milan_jax._src.scores.text_metric import References

_ORDER = 4


class SacreBleu:
  """Corpus BLEU, 0 to 100, of sacrebleu's defaults, with its four precisions.

  Args:
    same_counts: use as many references of each unit as every unit has, the first ones,
      as the original does; otherwise all.

  Raises:
    UserError: if sacrebleu is not installed.
  """

  names = ("bleu", *(f"bleu_precision_{n + 1}" for n in range(_ORDER)))

  def __init__(self, *, same_counts: bool = False):
    try:
      from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
      raise UserError(
        "BLEU needs sacrebleu: pip install 'milan-jax[scores]'."
      ) from error
    self._bleu: Any = BLEU
    # Single sentences are only counted here; their own scores are not used.
    self._counter: Any = BLEU(effective_order=True)
    self._same_counts = same_counts

  @property
  def identity(self) -> str:
    """Which references it uses."""
    return "bleu of as many references" if self._same_counts else "bleu"

  def statistics(
    self, said: Sequence[str], known: References
  ) -> Float[np.ndarray, "units statistics"]:
    """Counts matching n-grams, n-grams, and the lengths of both sides."""
    most = min(map(len, known), default=0) if self._same_counts else None
    rows = []
    for text, references in zip(said, known, strict=True):
      found = self._counter.sentence_score(text, list(references[:most]))
      rows.append([*found.counts, *found.totals, found.sys_len, found.ref_len])
    return np.array(rows, float).reshape(len(rows), 2 * _ORDER + 2)

  def scores(
    self, totals: Float[np.ndarray, "sums statistics"]
  ) -> Float[np.ndarray, "sums names"]:
    """Computes BLEU and its precisions, each 0 to 100."""
    rows = []
    for row in np.rint(totals).astype(int).tolist():
      found = self._bleu.compute_bleu(
        row[:_ORDER], row[_ORDER : 2 * _ORDER], *row[-2:], smooth_method="exp"
      )
      rows.append([found.score, *found.precisions])
    return np.array(rows, float).reshape(len(rows), len(self.names))
