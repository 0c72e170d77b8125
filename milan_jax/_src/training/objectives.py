"""The objectives that a training step minimizes: the models' losses on a batch."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from milan_jax._src.models import captioner as captioners
from milan_jax._src.models import sequences, transformer, word_detectors
from milan_jax._src.models.language_models import AnyLanguageModel
from milan_jax._src.models.products import product
from milan_jax._src.training import batches, losses, step

CAPTIONER_TERMS = ("nll", "attention")
LANGUAGE_MODEL_TERMS = ("nll",)
WORD_DETECTOR_TERMS = ("nll",)


@dataclasses.dataclass(frozen=True, slots=True)
class Augmentation:
  """How features are changed in training, to simulate other samples of the regions.

  Attributes:
    noise: standard deviation of the Gaussian noise: one sample shared by all regions of
      a unit plus one per region, in the scale of the features.
    resample: draw k of a unit's regions with replacement.
    max_swapped: maximum fraction of a unit's regions that are replaced by regions of
      other units; each unit's fraction is drawn uniformly.
  """

  noise: float = 0.0
  resample: bool = False
  max_swapped: float = 0.0


NO_AUGMENTATION = Augmentation()


def _drop(
  values: Float[Array, "..."], key: PRNGKeyArray | None, layer: int, rate: float
) -> Float[Array, "..."]:
  """Applies dropout; without a key, none."""
  if key is None or rate == 0:
    return values
  kept = jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - rate, values.shape)
  return jnp.where(kept, values / (1 - rate), 0)


def _token_nll(
  hiddens: Float[Array, "length batch hidden"],
  output: Any,
  batch: batches.Batch,
  *,
  pad_id: int,
  dtype: DTypeLike,
) -> losses.Mean:
  """Returns the mean loss of a token; the output layer reads `batch.positions`."""
  positions = None if batch.positions is None else jnp.asarray(batch.positions)
  mask = losses.token_mask(batch.targets, batch.weights, pad_id=pad_id)
  mask, targets, hiddens = (
    losses.at_positions(values, positions)
    for values in (jnp.asarray(mask).T, jnp.asarray(batch.targets).T, hiddens)
  )
  logits = product(hiddens, output["kernel"], dtype)
  logits = logits + output["bias"].reshape((1,) * targets.ndim + (-1,))
  return losses.token_nll(logits, targets, mask)


def augment(
  features: Float[Array, "batch k features"],
  key: Key[Array, ""],
  augmentation: Augmentation,
) -> Float[Array, "batch k features"]:
  """Augments the features of each unit's regions, by the PRNG key."""
  batch, k, size = features.shape
  draws, shared, own, swap = jax.random.split(key, 4)
  if augmentation.resample:
    indices = jax.random.randint(draws, (batch, k), 0, k)
    features = jnp.take_along_axis(features, indices[..., None], axis=1)
  if augmentation.max_swapped:
    features = _swap_regions(features, swap, augmentation.max_swapped)
  if augmentation.noise:
    features = features + augmentation.noise * (
      jax.random.normal(shared, (batch, 1, size))
      + jax.random.normal(own, (batch, k, size))
    )
  return features


def _seen_features(
  batch: batches.Batch, key: PRNGKeyArray | None, augmentation: Augmentation
) -> Float[Array, "batch k features"]:
  """Returns the batch's features; with a key, during training, augmented."""
  features = jnp.asarray(batch.features)
  if key is None or augmentation == NO_AUGMENTATION:
    return features
  return augment(features, jax.random.fold_in(key, 1), augmentation)


def _swap_regions(
  features: Float[Array, "batch k features"], key: Key[Array, ""], max_fraction: float
) -> Float[Array, "batch k features"]:
  batch, k, _ = features.shape
  for_fraction, for_regions, for_donors = jax.random.split(key, 3)
  fraction = jax.random.uniform(for_fraction, (batch, 1), maxval=max_fraction)
  is_swapped = jax.random.uniform(for_regions, (batch, k)) < fraction
  # The new region has the same index in another unit of the batch.
  steps = jax.random.randint(for_donors, (batch, k), 1, max(2, batch))
  donors = (jnp.arange(batch)[:, None] + steps) % batch
  return jnp.where(is_swapped[..., None], features[donors, jnp.arange(k)], features)


def captioner_objective(
  model: captioners.Captioner,
  *,
  pad_id: int,
  augmentation: Augmentation = NO_AUGMENTATION,
  dtype: DTypeLike = jnp.float32,
) -> step.Objective:
  """Returns the captioner's objective: token NLL and attention penalty.

  Args:
    model: the captioner.
    pad_id: the padding id.
    augmentation: of the features, during training, when there is a key.
    dtype: type of the operands of matrix products; weights, sums, states and losses
      are float32.
  """

  def objective(
    params: PyTree, batch: batches.Batch, key: PRNGKeyArray | None
  ) -> losses.Terms:
    features = _seen_features(batch, key, augmentation)
    tokens = jnp.asarray(batch.inputs)
    hiddens, attentions = sequences.captioner_states(params, features, tokens, dtype)
    hiddens = _drop(hiddens, key, 0, model.dropout)
    mask = losses.token_mask(jnp.asarray(batch.targets), batch.weights, pad_id=pad_id)
    return {
      "nll": _token_nll(hiddens, params["output"], batch, pad_id=pad_id, dtype=dtype),
      "attention": losses.attention_penalty(
        attentions.swapaxes(0, 1), mask, batch.weights
      ),
    }

  return objective


def language_model_objective(
  model: AnyLanguageModel,
  *,
  pad_id: int,
  dtype: DTypeLike = jnp.float32,
) -> step.Objective:
  """Returns the language model's objective: token NLL.

  Args:
    model: the language model.
    pad_id: the padding id.
    dtype: as for `captioner_objective`.
  """

  def objective(
    params: PyTree, batch: batches.Batch, key: PRNGKeyArray | None
  ) -> losses.Terms:
    tokens = jnp.asarray(batch.inputs)
    if isinstance(model, transformer.TransformerLanguageModel):
      hiddens: Any = model.clone(dtype=dtype).apply(
        {"params": params},
        tokens,
        deterministic=key is None,
        rngs=None if key is None else {"dropout": key},
        method="states",
      )
      hiddens = hiddens.swapaxes(0, 1)
    else:
      hiddens = sequences.language_model_states(
        params,
        tokens,
        lambda values, layer: _drop(values, key, layer, model.dropout),
        dtype,
      )
    nll = _token_nll(hiddens, params["output"], batch, pad_id=pad_id, dtype=dtype)
    return {"nll": nll}

  return objective


def _marked(numbers: Int[Array, "length"], num_words: int) -> Bool[Array, "words"]:
  """Marks the words with some numbers; numbers from `num_words` on mark none."""
  return jnp.zeros(num_words, bool).at[numbers].set(True, mode="drop")


def word_detectors_objective(
  model: word_detectors.WordDetectors,
  *,
  augmentation: Augmentation = NO_AUGMENTATION,
  dtype: DTypeLike = jnp.float32,
) -> step.Objective:
  """Returns the word detectors' objective: the mean NLL of a unit's words.

  That is the cross entropy of whether each word is said, summed over the words. A
  batch's targets are numbers of words; others, from `model.num_words` on, are ignored.
  In training each network has a loss of its own, and theirs are averaged; without a key
  it is the loss of the averaged probabilities.

  Args:
    model: the word detectors.
    augmentation: as for `captioner_objective`.
    dtype: as for `captioner_objective`.
  """

  def objective(
    params: PyTree, batch: batches.Batch, key: PRNGKeyArray | None
  ) -> losses.Terms:
    means = word_detectors.mean_features(_seen_features(batch, key, augmentation))
    logits = word_detectors.member_logits(
      params,
      means,
      drop=lambda hidden, layer: _drop(hidden, key, layer, model.dropout),
      dtype=dtype,
    )
    if key is None:
      logits = word_detectors.mean_log_odds(logits)[None]
    said = jax.vmap(_marked, (0, None))(jnp.asarray(batch.targets), model.num_words)
    losses_of = jax.nn.softplus(logits) - jnp.where(said[None], logits, 0)
    nll = losses_of.sum(-1).mean(0)
    weights = jnp.asarray(batch.weights)
    return {"nll": losses.Mean((nll * weights).sum(), weights.sum())}

  return objective
