"""Semantic similarity of descriptions and truths, by MiniLM sentence embeddings."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.text.sentence_vectors import HINT as HINT
from milan_jax._src.text.sentence_vectors import SentenceVectors
from milan_jax._src.text.sentence_vectors import packaged_model as packaged_model


class SentenceSimilarity:
  """Cosine similarities of sentences; embeds each sentence once.

  Args:
    folder: the model's folder.
  """

  def __init__(self, folder: pathlib.Path):
    self._vectors = SentenceVectors(folder)
    self._known: dict[str, Float[np.ndarray, "width"]] = {}

  def nearest(
    self, pairs: Sequence[tuple[str, Sequence[str]]]
  ) -> Float[np.ndarray, "pairs"]:
    """Returns the cosine of each sentence with the nearest of its references."""
    wanted = sorted({text for one, many in pairs for text in (one, *many)})
    new = [text for text in wanted if text not in self._known]
    if new:
      self._known.update(zip(new, self._vectors(new), strict=True))
    return np.array(
      [
        max(float(self._known[one] @ self._known[other]) for other in many)
        for one, many in pairs
      ]
    )
