"""Losses of the captioner and of the language model. Losses are in nats."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Mean(NamedTuple):
  """A mean in two halves, so that the means of batches add up to that of all.

  Attributes:
    total: the sum of the values.
    number: how many they are.
  """

  total: Float[Array, ""]
  number: Float[Array, ""]

  @property
  def value(self) -> Float[Array, ""]:
    """The mean; 0 of no values."""
    return self.total / jnp.maximum(self.number, 1)


# The terms of a loss by name. The loss is the sum of their means.
Terms = dict[str, Mean]


def no_terms(names: Iterable[str]) -> Terms:
  """Returns the terms of no batch, to add to."""
  return {name: Mean(jnp.zeros(()), jnp.zeros(())) for name in names}


def add_terms(first: Terms, second: Terms) -> Terms:
  """Returns the terms of both halves of some batches."""
  terms: Terms = jax.tree.map(jnp.add, first, second)
  return terms


def sum_of_means(terms: Terms) -> Float[Array, ""]:
  """Returns the loss."""
  return sum((mean.value for mean in terms.values()), start=jnp.zeros(()))


def token_mask(
  targets: Int[Array | np.ndarray, "batch length"],
  weights: Float[Array | np.ndarray, "batch"],
  *,
  pad_id: int,
) -> Bool[Array, "batch length"]:
  """Marks the tokens that count: no padding, in no row that only fills the batch."""
  return (targets != pad_id) & (weights > 0)[:, None]


def token_nll(
  log_probs: Float[Array, "batch length vocab"],
  targets: Int[Array | np.ndarray, "batch length"],
  mask: Bool[Array, "batch length"],
) -> Mean:
  """Returns the mean negative log-likelihood of the tokens in `mask`.

  The mean is over the tokens of the whole batch, not over captions: long captions weigh
  more.
  """
  picked = jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
  return Mean(-jnp.where(mask, picked, 0).sum(), mask.sum().astype(picked.dtype))


def attention_penalty(
  attentions: Float[Array, "batch length k"],
  mask: Bool[Array, "batch length"],
  weights: Float[Array | np.ndarray, "batch"],
) -> Mean:
  """Returns the mean of `(1 - sum_t attention)^2` over captions and regions.

  It asks that each region is looked at once in all. The sum runs over all the steps up
  to the end of the *longest* caption of the batch, as in the original: a short
  caption's attention counts after its end, too. So the value depends on the company
  that a caption keeps. It does not depend on padding beyond the longest caption, nor on
  rows that only fill the batch.

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
  """Returns the captioner's loss: token likelihood "nll" plus penalty "attention".

  Args:
    log_probs: predictions of each target.
    attentions: how much each step looks at each region; sums to 1 over the regions.
    targets: the ids to predict; stop after the last token, then padding.
    weights: 1 for a caption, 0 for a row that only fills the batch.
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
  """Returns the language model's loss: the mean token likelihood "nll".

  Args:
    log_probs: predictions of each target.
    targets: the ids to predict; stop after the last token, then padding.
    weights: 1 for a caption, 0 for a row that only fills the batch.
    pad_id: the padding id.
  """
  mask = token_mask(targets, weights, pad_id=pad_id)
  return {"nll": token_nll(log_probs, targets, mask)}
