"""Losses of the captioner and of the language model, in nats."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped


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
  logits: Float[Array, "*positions vocab"],
  targets: Int[Array, "*positions"],
  mask: Bool[Array, "*positions"],
) -> Mean:
  """Returns the mean negative log-likelihood of the tokens in `mask`.

  The mean is over the tokens of the whole batch, not over captions, so long captions
  have more weight.

  Args:
    logits: logits, or log-probabilities, of each token.
    targets: the tokens to predict.
    mask: the tokens that count.
  """
  # A comparison instead of an index: its gradient is not a scatter.
  words = jnp.arange(logits.shape[-1]).reshape((1,) * targets.ndim + (-1,))
  picked = jnp.where(words == targets[..., None], logits, 0).sum(-1)
  nll = jax.nn.logsumexp(logits, axis=-1) - picked
  return Mean(jnp.where(mask, nll, 0).sum(), mask.sum().astype(nll.dtype))


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


def at_positions(
  values: Shaped[Array, "length batch *rest"],
  positions: Int[Array, "devices tokens"] | None,
) -> Shaped[Array, "..."]:
  """Returns the values at some positions of each device; all values for None.

  Args:
    values: time-major values.
    positions: as in `batches.Batch`.
  """
  if positions is None:
    return values
  length, batch, *rest = values.shape
  num_devices = len(positions)
  values = values.reshape(length, num_devices, batch // num_devices, *rest)
  # devices, positions, rest: each device's positions are its own.
  values = values.swapaxes(0, 1).reshape(num_devices, -1, *rest)
  indices = positions.reshape(*positions.shape, *(1 for _ in rest))
  return jnp.take_along_axis(values, indices, axis=1, mode="promise_in_bounds")
