"""What a text metric computes: additive statistics of units, and scores of their sums.

Because statistics are added over units, the same numbers give the score of all units,
of one, and of every bootstrap sample.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

References = Sequence[Sequence[str]]


@runtime_checkable
class TextMetric(Protocol):
  """A text metric.

  Attributes:
    names: names of its scores; the first is the one that tables show.
    identity: changes with everything but the texts that its scores depend on, so that
      stored scores are known to be of the same metric.
  """

  @property
  def names(self) -> tuple[str, ...]:
    """Names of its scores."""

  @property
  def identity(self) -> str:
    """Changes with everything but the texts that its scores depend on."""

  def statistics(
    self, said: Sequence[str], known: References
  ) -> Float[np.ndarray, "units statistics"]:
    """Computes statistics that are added over units.

    Args:
      said: a description of each unit, as `plain` gives it.
      known: the references of each unit, at least one, as `plain` gives them.
    """

  def scores(
    self, totals: Float[np.ndarray, "sums statistics"]
  ) -> Float[np.ndarray, "sums names"]:
    """Computes the scores of sums of statistics."""


def plain(text: str) -> str:
  """Returns a text as it is scored: in lower case, without dots and spaces at its ends.

  Source: the original scores both sides like this.
  """
  return text.lower().strip(". ")
