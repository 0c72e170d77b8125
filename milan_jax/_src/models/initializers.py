"""Initializers with torch's defaults, as in the original."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Initializer = Callable[..., Float[Array, "..."]]


def uniform_fan_in(fan_in: int) -> Initializer:
  """Returns an initializer drawing from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

  It is what torch uses for the weights and the biases of linear layers (the input's
  size) and of LSTMs (the hidden size).
  """
  bound = fan_in**-0.5

  def init(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32
  ) -> Float[Array, "..."]:
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def normal_with_zero_row(row: int | None) -> Initializer:
  """Returns an initializer drawing from N(0, 1), with one row of zeros if asked."""

  def init(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32
  ) -> Float[Array, "rows columns"]:
    table = jax.random.normal(key, shape, dtype)
    return table if row is None else table.at[row].set(0)

  return init
