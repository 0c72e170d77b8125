"""Word detectors: which words of the vocabulary a unit's regions show.

A network with one hidden layer reads the probability of each content word from the mean
features of a unit's regions. The captioner predicts a word from the words before it as
much as from the regions; the detectors know the regions alone, and give an adjective
that only some of them show a low probability.

Source: word detectors for captions, Fang et al. 2015, "From captions to visual concepts
and back", there of image regions and trained by multiple-instance learning.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from milan_jax._src.models.initializers import uniform_fan_in
from milan_jax._src.models.products import product

# Log probability of a description whose words have no detectors: one half.
UNKNOWN = float(np.log(0.5))


@dataclasses.dataclass(frozen=True, slots=True)
class WordDetectorSpec:
  """The words that have a detector, and the size of the detectors.

  Attributes:
    words: singular and in lower case, as `text.content_words` spells them.
    hidden_size: size of the hidden layer.
  """

  words: tuple[str, ...]
  hidden_size: int


class WordDetectors(nn.Module):
  """The network: a hidden layer with GELU, and an output for each word.

  Attributes:
    num_words: number of words.
    hidden_size: size of the hidden layer.
    dropout: dropout rate of the hidden layer in training.
  """

  num_words: int
  hidden_size: int
  dropout: float = 0.5

  @nn.compact
  def __call__(
    self, features: Float[Array, "batch features"]
  ) -> Float[Array, "batch words"]:
    """Returns the log-odds of each word, without dropout.

    Args:
      features: the mean features of each unit's regions.
    """
    inputs = features.shape[-1]
    hidden = nn.gelu(_dense(inputs, self.hidden_size, "hidden")(features))
    return _dense(self.hidden_size, self.num_words, "output")(hidden)


def _dense(inputs: int, outputs: int, name: str) -> nn.Dense:
  init = uniform_fan_in(inputs)
  return nn.Dense(outputs, kernel_init=init, bias_init=init, name=name)


def mean_features(
  features: Float[np.ndarray | Array, "batch k features"],
  counts: Int[np.ndarray | Array, "batch"] | None = None,
) -> Float[Array, "batch features"]:
  """Returns the mean over each unit's regions; zeros for a unit without regions.

  Args:
    features: features of the regions, as the captioner reads them.
    counts: how many of each unit's regions count, its first ones; None for all.
  """
  if counts is None:
    return jnp.mean(features, axis=1)
  counted = jnp.arange(features.shape[1])[None] < counts[:, None]
  total = jnp.sum(jnp.where(counted[..., None], features, 0), axis=1)
  return total / jnp.maximum(counts, 1)[:, None]


def word_logits(
  params: Mapping[str, Any],
  features: Float[Array, "batch features"],
  *,
  drop: Callable[[Array], Array] = lambda hidden: hidden,
  dtype: DTypeLike = jnp.float32,
) -> Float[Array, "batch words"]:
  """Returns the log-odds of each word.

  Args:
    params: parameters of `WordDetectors`.
    features: the mean features of each unit's regions.
    drop: applied to the hidden layer, for dropout.
    dtype: type of the operands of matrix products.
  """
  hidden, output = params["hidden"], params["output"]
  values = product(features, hidden["kernel"], dtype) + hidden["bias"][None]
  values = drop(nn.gelu(values))
  found: Array = product(values, output["kernel"], dtype) + output["bias"][None]
  return found


def word_log_probs(
  params: Mapping[str, Any],
  features: Float[np.ndarray | Array, "batch k features"],
  counts: Int[np.ndarray | Array, "batch"] | None = None,
) -> Float[Array, "batch words"]:
  """Returns log p(word | regions) of each word with a detector.

  The products are in full float32 on every device.

  Args:
    params: parameters of `WordDetectors`.
    features: features of the regions, as the captioner reads them.
    counts: how many of each unit's regions count, its first ones; None for all.
  """
  with jax.default_matmul_precision("highest"):
    logits = word_logits(params, mean_features(features, counts))
    found: Array = jax.nn.log_sigmoid(logits)
  return found


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
