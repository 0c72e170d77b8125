"""Word detectors: which words of the vocabulary a unit's regions show.

Small networks read the probability of each content word from the mean features of a
unit's regions; their probabilities are averaged. The captioner predicts a word from the
words before it as much as from the regions; the detectors know the regions alone, and
give an adjective that only some of them show a low probability.

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
# A description is rewarded for a word whose probability is above this one.
NEARLY_CERTAIN = 0.8
MOST_HIDDEN_LAYERS, MOST_MEMBERS = 16, 64


@dataclasses.dataclass(frozen=True, slots=True)
class WordDetectorSpec:
  """The words that have a detector, and the size of the detectors.

  Attributes:
    words: singular and in lower case, as `text.content_words` spells them.
    hidden_size: size of each hidden layer.
    hidden_layers: number of hidden layers.
    members: number of networks whose probabilities are averaged.
  """

  words: tuple[str, ...]
  hidden_size: int
  hidden_layers: int = 1
  members: int = 1


class WordDetectors(nn.Module):
  """The networks: hidden layers with GELU, and an output for each word.

  Attributes:
    num_words: number of words.
    hidden_size: size of each hidden layer.
    dropout: dropout rate of the hidden layers in training.
    hidden_layers: number of hidden layers.
    members: number of networks whose probabilities are averaged. With more than one,
      each parameter has an axis for them, the first.
  """

  num_words: int
  hidden_size: int
  dropout: float = 0.5
  hidden_layers: int = 1
  members: int = 1

  @nn.compact
  def __call__(
    self, features: Float[Array, "batch features"]
  ) -> Float[Array, "batch words"]:
    """Returns the log-odds of each word, without dropout.

    Args:
      features: the mean features of each unit's regions.
    """
    values: Array = features
    for number in range(self.hidden_layers):
      layer = self._layer(_hidden_name(number), number, values, self.hidden_size)
      values = nn.gelu(layer(values))
    logits: Array = self._layer("output", self.hidden_layers, values, self.num_words)(
      values
    )
    return logits if self.members == 1 else mean_log_odds(logits)

  def _layer(self, name: str, number: int, inputs: Array, outputs: int) -> nn.Module:
    init = uniform_fan_in(inputs.shape[-1])
    kind: Any = nn.Dense
    if self.members > 1:
      kind = nn.vmap(
        nn.Dense,
        in_axes=0 if number else None,  # all networks read the same features
        variable_axes={"params": 0},
        split_rngs={"params": True},
        axis_size=self.members,
      )
    made: nn.Module = kind(outputs, kernel_init=init, bias_init=init, name=name)
    return made


def _hidden_name(number: int) -> str:
  return f"hidden_{number + 1}" if number else "hidden"


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


def member_logits(
  params: Mapping[str, Any],
  features: Float[Array, "batch features"],
  *,
  drop: Callable[[Array, int], Array] = lambda hidden, layer: hidden,
  dtype: DTypeLike = jnp.float32,
) -> Float[Array, "members batch words"]:
  """Returns the log-odds of each word by each network.

  Args:
    params: parameters of `WordDetectors`.
    features: the mean features of each unit's regions.
    drop: applied to each hidden layer, with its number, for dropout: those of the
      second network follow those of the first.
    dtype: type of the operands of matrix products.
  """
  kernel = params["output"]["kernel"]
  members: list[Any] = [params]
  if kernel.ndim > 2:
    members = [jax.tree.map(lambda x, m=m: x[m], params) for m in range(len(kernel))]
  layers = len(params) - 1
  logits: list[Array] = []
  for member, each in enumerate(members):
    values = features
    for layer in range(layers):
      values = nn.gelu(_through(each[_hidden_name(layer)], values, dtype))
      values = drop(values, member * layers + layer)
    logits.append(_through(each["output"], values, dtype))
  return jnp.stack(logits)


def _through(layer: Mapping[str, Any], values: Array, dtype: DTypeLike) -> Array:
  found: Array = product(values, layer["kernel"], dtype) + layer["bias"][None]
  return found


def mean_log_odds(
  logits: Float[Array, "members batch words"],
) -> Float[Array, "batch words"]:
  """Returns the log-odds of the mean of the networks' probabilities."""
  if len(logits) == 1:
    return logits[0]
  said, unsaid = (
    jax.nn.logsumexp(jax.nn.log_sigmoid(each), axis=0) for each in (logits, -logits)
  )
  return said - unsaid


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
    logits = member_logits(params, mean_features(features, counts))
    found: Array = jax.nn.log_sigmoid(mean_log_odds(logits))
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
  there = jnp.asarray(numbers)[tokens]
  values = _of_tokens(log_probs, there)
  count = (there > 0).sum(-1)
  mean = values.sum(-1) / jnp.maximum(count, 1)
  return jnp.where(count > 0, mean, UNKNOWN)


def covered(
  log_probs: Float[Array, "batch words"],
  tokens: Int[np.ndarray | Array, "batch beam length"],
  numbers: Int[np.ndarray, "vocab"],
) -> Float[Array, "batch beam"]:
  """Returns each hypothesis's reward for the nearly certain words that it says.

  It is the sum of log(p / `NEARLY_CERTAIN`) over its distinct words with a detector
  whose probability p is above `NEARLY_CERTAIN`.

  Args:
    log_probs: those of `word_log_probs`.
    tokens: hypotheses; what follows a stop has no detector.
    numbers: number of each token's detector, from 1; 0 for tokens without one.
  """
  there = jnp.asarray(numbers)[tokens]
  gains = jnp.maximum(log_probs - np.log(NEARLY_CERTAIN), 0)
  is_earlier = np.tri(tokens.shape[-1], k=-1, dtype=bool)[None, None]
  again = ((there[..., :, None] == there[..., None, :]) & is_earlier).any(-1)
  return jnp.where(again, 0, _of_tokens(gains, there)).sum(-1)


def _of_tokens(
  values: Float[Array, "batch words"], numbers: Int[Array, "batch beam length"]
) -> Float[Array, "batch beam length"]:
  """Returns each token's value, by the number of its detector; 0 for number 0."""
  table = jnp.pad(values, ((0, 0), (1, 0)))
  flat = numbers.reshape(len(values), -1)
  return jnp.take_along_axis(table, flat, axis=1).reshape(numbers.shape)
