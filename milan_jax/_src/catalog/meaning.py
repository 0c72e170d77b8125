"""What texts mean, as short vectors of bytes: sentence vectors, rounded."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int8

from milan_jax._src.text.sentence_vectors import SentenceVectors, packaged_model

# Of at most so many dimensions: the principal components of the site's own texts.
WIDTH = 64


def meanings(texts: Sequence[str]) -> Int8[np.ndarray, "texts width"] | None:
  """Returns a vector for each text; cosines of two compare what the texts mean.

  Returns:
    The vectors, of at most `WIDTH` dimensions; None if the sentence model is not
    installed.
  """
  folder = packaged_model()
  if folder is None or not texts:
    return None
  return shortened(SentenceVectors(folder)(texts))


def shortened(
  vectors: Float[np.ndarray, "n features"], width: int = WIDTH
) -> Int8[np.ndarray, "n width"]:
  """Projects vectors to their principal components and rounds them to bytes.

  The mean is kept: cosines stay close to those of the given vectors.
  """
  second = vectors.T.astype(np.float64) @ vectors.astype(np.float64)
  _, axes = np.linalg.eigh(second)
  axes = axes[:, ::-1][:, : min(width, len(vectors))]
  # An axis and its opposite are the same: its largest component is positive.
  largest = np.abs(axes).argmax(axis=0)
  axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
  short = vectors @ axes
  short /= np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
  greatest = max(float(np.abs(short).max()), 1e-12)
  rounded: np.ndarray = np.rint(short * (127 / greatest)).astype(np.int8)
  return rounded
