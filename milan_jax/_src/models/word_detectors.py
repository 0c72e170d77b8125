"""Word detectors: which words of the vocabulary a unit's regions show.

A linear classifier for each content word reads it from the mean features of a unit's
regions. The captioner predicts a word from the words before it as much as from the
regions; a detector knows the regions alone, and gives an adjective that only some of
them show a low probability.

Source: word detectors for captions, Fang et al. 2015, "From captions to visual concepts
and back", there of image regions and trained by multiple-instance learning.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Log probability of a description whose words have no detectors: one half.
UNKNOWN = float(np.log(0.5))


@dataclasses.dataclass(frozen=True, slots=True)
class WordDetectorSpec:
  """The words that have a detector.

  Attributes:
    words: singular and in lower case, as `text.content_words` spells them.
  """

  words: tuple[str, ...]


class WordDetectors(NamedTuple):
  """The parameters of the detectors.

  Attributes:
    shift: the vector that is subtracted from the mean features.
    kernel: the matrix that they are then multiplied by.
    bias: the log-odds of each word where the mean features are `shift`.
  """

  shift: Float[np.ndarray | Array, "features"]
  kernel: Float[np.ndarray | Array, "features words"]
  bias: Float[np.ndarray | Array, "words"]


def mean_features(
  features: Float[np.ndarray | Array, "batch k features"],
  counts: Int[Array, "batch"] | None = None,
) -> Float[Array, "batch features"]:
  """Returns the mean over the regions that have features; zeros for a unit without.

  Args:
    features: pooled features; zeros for a region with an empty mask.
    counts: how many of each unit's regions count, its first ones; None for all.
  """
  seen = jnp.any(features != 0, axis=-1)
  if counts is not None:
    seen = seen & (jnp.arange(features.shape[1])[None] < counts[:, None])
  total = jnp.sum(jnp.where(seen[..., None], features, 0), axis=1)
  return total / jnp.maximum(seen.sum(axis=1), 1)[:, None]


def word_log_probs(
  detectors: WordDetectors,
  features: Float[Array, "batch k features"],
  counts: Int[Array, "batch"] | None = None,
) -> Float[Array, "batch words"]:
  """Returns log p(word | regions) of each word with a detector.

  The product is in full float32 on every device.

  Args:
    detectors: their parameters.
    features: pooled features, before any projection.
    counts: how many of each unit's regions count, its first ones; None for all.
  """
  centered = mean_features(features, counts) - detectors.shift[None]
  logits = jnp.einsum(
    "bf,fw->bw", centered, detectors.kernel, precision=jax.lax.Precision.HIGHEST
  )
  return jax.nn.log_sigmoid(logits + detectors.bias[None])


def detected(
  log_probs: Float[Array, "batch words"],
  tokens: Int[np.ndarray | Array, "batch beam length"],
  numbers: Int[np.ndarray, "vocab"],
) -> Float[Array, "batch beam"]:
  """Returns the mean log probability of each hypothesis's words.

  It is `UNKNOWN` for a hypothesis without a word that has a detector.

  Args:
    log_probs: those of `word_log_probs`.
    tokens: hypotheses; what follows a stop has no detector.
    numbers: number of each token's detector, from 1; 0 for tokens without one.
  """
  batch, beam, length = tokens.shape
  there = jnp.asarray(numbers)[tokens]
  table = jnp.pad(log_probs, ((0, 0), (1, 0)))
  values = jnp.take_along_axis(table, there.reshape(batch, -1), axis=1)
  values = values.reshape(batch, beam, length)
  count = (there > 0).sum(-1)
  mean = values.sum(-1) / jnp.maximum(count, 1)
  return jnp.where(count > 0, mean, UNKNOWN)
