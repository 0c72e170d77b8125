"""The losses of a batch, as the models give them: what the step minimises."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from milan_jax._src.models import captioner as captioners
from milan_jax._src.models import language_model as language_models
from milan_jax._src.training import losses, step

CAPTIONER_TERMS = ("nll", "attention")
LANGUAGE_MODEL_TERMS = ("nll",)


def _dropout(key):
  if key is None:
    return {"deterministic": True}
  return {"deterministic": False, "rngs": {"dropout": key}}


def disturbed(
  features: Float[Array, "batch k features"],
  key: Key[Array, ""],
  *,
  noise: float,
  resample: bool,
  strays: float = 0.0,
) -> Float[Array, "batch k features"]:
  """Features as another draw of a unit's regions might have given them.

  Args:
    features: features of each unit's regions.
    key: decides the draw.
    noise: deviation of the Gaussian noise that all regions of a unit share, and of that
      which each has for itself, in the features' own scale.
    resample: draw k of a unit's regions with replacement.
    strays: put regions of other units in the place of up to this share of a unit's: the
      share is drawn evenly for each unit, and then each of its regions.
  """
  batch, k, size = features.shape
  draws, shared, own, stray = jax.random.split(key, 4)
  if resample:
    places = jax.random.randint(draws, (batch, k), 0, k)
    features = jnp.take_along_axis(features, places[..., None], axis=1)
  if strays:
    features = _with_strays(features, stray, strays)
  if noise:
    features = features + noise * (
      jax.random.normal(shared, (batch, 1, size))
      + jax.random.normal(own, (batch, k, size))
    )
  return features


def _with_strays(
  features: Float[Array, "batch k features"], key: Key[Array, ""], most: float
) -> Float[Array, "batch k features"]:
  batch, k, _ = features.shape
  amount, place, lender = jax.random.split(key, 3)
  share = jax.random.uniform(amount, (batch, 1), maxval=most)
  chosen = jax.random.uniform(place, (batch, k)) < share
  # How many rows further the unit is that lends its region of the same place.
  steps = jax.random.randint(lender, (batch, k), 1, max(2, batch))
  lenders = (jnp.arange(batch)[:, None] + steps) % batch
  return jnp.where(chosen[..., None], features[lenders, jnp.arange(k)], features)


def captioner_objective(
  model: captioners.Captioner,
  *,
  pad_id: int,
  feature_noise: float = 0.0,
  resample_regions: bool = False,
  stray_regions: float = 0.0,
) -> step.Objective:
  """Returns the captioner's objective: token likelihood and attention penalty.

  In training, the features are `disturbed` if that is asked for.
  """

  def objective(params, batch, key):
    features = batch.features
    if key is not None and (feature_noise or resample_regions or stray_regions):
      features = disturbed(
        features,
        jax.random.fold_in(key, 1),
        noise=feature_noise,
        resample=resample_regions,
        strays=stray_regions,
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
  """Returns the language model's objective: token likelihood."""

  def objective(params, batch, key):
    log_probs: Any = model.apply({"params": params}, batch.inputs, **_dropout(key))
    return losses.language_model_loss(
      log_probs, batch.targets, batch.weights, pad_id=pad_id
    )

  return objective
