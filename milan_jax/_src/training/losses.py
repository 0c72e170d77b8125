"""Losses of the captioner and of the language model, in nats."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Mean(NamedTuple):
  """A mean as sum and count, so that the means of batches can be added.

  Attributes:
    total: the sum of the values.
    number: the number of values.
  """

  total: Float[Array, ""]
  number: Float[Array, ""]

  @property
  def value(self) -> Float[Array, ""]:
    """The mean; 0 without values."""
    return self.total / jnp.maximum(self.number, 1)


# The terms of a loss, by name. The loss is the sum of their means.
Terms = dict[str, Mean]


def no_terms(names: Iterable[str]) -> Terms:
  """Returns the terms of zero batches."""
  return {name: Mean(jnp.zeros(()), jnp.zeros(())) for name in names}


def add_terms(first: Terms, second: Terms) -> Terms:
  """Returns the terms of two sets of batches together."""
  terms: Terms = jax.tree.map(jnp.add, first, second)
  return terms


def sum_of_means(terms: Terms) -> Float[Array, ""]:
  """Returns the loss: the sum of the terms' means."""
  return sum((mean.value for mean in terms.values()), start=jnp.zeros(()))


def token_mask(
  targets: Int[Array | np.ndarray, "batch length"],
  weights: Float[Array | np.ndarray, "batch"],
  *,
  pad_id: int,
) -> Bool[Array, "batch length"]:
  """Marks the tokens that count: neither padding tokens nor tokens of padding rows."""
  return (targets != pad_id) & (weights > 0)[:, None]


def token_nll(
  log_probs: Float[Array, "batch length vocab"],
  targets: Int[Array | np.ndarray, "batch length"],
  mask: Bool[Array, "batch length"],
) -> Mean:
  """Returns the mean negative log-likelihood of the tokens in `mask`.

  The mean is over the tokens of the whole batch, not over captions, so long captions
  have more weight.
  """
  picked = jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
  return Mean(-jnp.where(mask, picked, 0).sum(), mask.sum().astype(picked.dtype))


def attention_penalty(
  attentions: Float[Array, "batch length k"],
  mask: Bool[Array, "batch length"],
  weights: Float[Array | np.ndarray, "batch"],
) -> Mean:
  """Returns the mean of `(1 - sum_t attention)^2` over captions and regions.

  It is zero if the total attention to each region is 1. As in the original, the sum
  runs over all steps up to the end of the *longest* caption in the batch, so a short
  caption's attention also counts after its end, and the value depends on the other
  captions in the batch. It does not depend on padding beyond the longest caption or on
  padding rows.

  Source: Xu et al. 2015, section 4.2.1, with weight 1.
  """
  steps = mask.any(axis=0)
  looks = jnp.where(steps[None, :, None], attentions, 0).sum(axis=1)
  penalties = jnp.square(1 - looks).mean(axis=1)
  return Mean((penalties * weights).sum(), weights.sum())


def captioner_loss(
  log_probs: Float[Array, "batch length vocab"],
  attentions: Float[Array, "batch length k"],
  targets: Int[Array | np.ndarray, "batch length"],
  weights: Float[Array | np.ndarray, "batch"],
  *,
  pad_id: int,
) -> Terms:
  """Returns the captioner's loss: the terms "nll" and "attention".

  Args:
    log_probs: log probabilities at each target's step.
    attentions: the attention weights of each step; they sum to 1 over the regions.
    targets: the ids to predict: the tokens, stop, then padding.
    weights: 1 for a caption, 0 for a padding row.
    pad_id: the padding id.

  Source: Hernandez et al. 2022, section 3, and its appendix on training.
  """
  mask = token_mask(targets, weights, pad_id=pad_id)
  return {
    "nll": token_nll(log_probs, targets, mask),
    "attention": attention_penalty(attentions, mask, weights),
  }


def language_model_loss(
  log_probs: Float[Array, "batch length vocab"],
  targets: Int[Array | np.ndarray, "batch length"],
  weights: Float[Array | np.ndarray, "batch"],
  *,
  pad_id: int,
) -> Terms:
  """Returns the language model's loss: the mean token NLL as "nll".

  Args:
    log_probs: log probabilities at each target's step.
    targets: the ids to predict: the tokens, stop, then padding.
    weights: 1 for a caption, 0 for a padding row.
    pad_id: the padding id.
  """
  mask = token_mask(targets, weights, pad_id=pad_id)
  return {"nll": token_nll(log_probs, targets, mask)}
