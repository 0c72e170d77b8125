"""The losses of a batch, as the models give them: what the step minimises."""

from typing import Any

from milan_jax.models import captioner as captioners
from milan_jax.models import language_model as language_models
from milan_jax.training import losses, step

CAPTIONER_TERMS = ("nll", "attention")
LANGUAGE_MODEL_TERMS = ("nll",)


def _dropout(key):
  if key is None:
    return {"deterministic": True}
  return {"deterministic": False, "rngs": {"dropout": key}}


def captioner_objective(model: captioners.Captioner, *, pad_id: int) -> step.Objective:
  """Returns the captioner's objective: token likelihood and attention penalty."""

  def objective(params, batch, key):
    outputs: Any = model.apply(
      {"params": params}, batch.features, batch.inputs, **_dropout(key)
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
