"""The objectives that a training step minimizes: the models' losses on a batch."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree

from milan_jax._src.models import captioner as captioners
from milan_jax._src.models import language_model as language_models
from milan_jax._src.training import batches, losses, step

CAPTIONER_TERMS = ("nll", "attention")
LANGUAGE_MODEL_TERMS = ("nll",)


def _dropout(key: PRNGKeyArray | None) -> dict[str, Any]:
  if key is None:
    return {"deterministic": True}
  return {"deterministic": False, "rngs": {"dropout": key}}


def augment(
  features: Float[Array, "batch k features"],
  key: Key[Array, ""],
  *,
  noise: float,
  resample: bool,
  max_swapped: float = 0.0,
) -> Float[Array, "batch k features"]:
  """Augments features, to simulate other samples of each unit's regions.

  Args:
    features: features of each unit's regions.
    key: the PRNG key.
    noise: standard deviation of the Gaussian noise: one sample shared by all regions of
      a unit plus one per region, in the scale of the features.
    resample: draw k of a unit's regions with replacement.
    max_swapped: maximum fraction of a unit's regions that are replaced by regions of
      other units; each unit's fraction is drawn uniformly.
  """
  batch, k, size = features.shape
  draws, shared, own, swap = jax.random.split(key, 4)
  if resample:
    indices = jax.random.randint(draws, (batch, k), 0, k)
    features = jnp.take_along_axis(features, indices[..., None], axis=1)
  if max_swapped:
    features = _swap_regions(features, swap, max_swapped)
  if noise:
    features = features + noise * (
      jax.random.normal(shared, (batch, 1, size))
      + jax.random.normal(own, (batch, k, size))
    )
  return features


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
  feature_noise: float = 0.0,
  resample_regions: bool = False,
  stray_regions: float = 0.0,
) -> step.Objective:
  """Returns the captioner's objective: token NLL and attention penalty.

  With a key, during training, the features are augmented (`augment`).
  """

  def objective(
    params: PyTree, batch: batches.Batch, key: PRNGKeyArray | None
  ) -> losses.Terms:
    features = jnp.asarray(batch.features)
    if key is not None and (feature_noise or resample_regions or stray_regions):
      features = augment(
        features,
        jax.random.fold_in(key, 1),
        noise=feature_noise,
        resample=resample_regions,
        max_swapped=stray_regions,
      )
    outputs: Any = model.apply(
      {"params": params}, features, batch.inputs, **_dropout(key)
    )
    log_probs, attentions = outputs
    return losses.captioner_loss(
      log_probs, attentions, batch.targets, batch.weights, pad_id=pad_id
    )

  return objective


def language_model_objective(
  model: language_models.LanguageModel, *, pad_id: int
) -> step.Objective:
  """Returns the language model's objective: token NLL."""

  def objective(
    params: PyTree, batch: batches.Batch, key: PRNGKeyArray | None
  ) -> losses.Terms:
    log_probs: Any = model.apply({"params": params}, batch.inputs, **_dropout(key))
    return losses.language_model_loss(
      log_probs, batch.targets, batch.weights, pad_id=pad_id
    )

  return objective
