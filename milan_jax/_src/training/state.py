"""The training state that a step reads and updates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree, UInt32


class TrainState(NamedTuple):
  """State before a step.

  Attributes:
    step: number of finished steps. ()
    params: weights of the model, float32.
    opt_state: moments of the optimizer: twice the size of `params`.
    key: raw data of the run's PRNG key; dropout depends on step and key. (2,)
  """

  step: Int[Array, ""]
  params: PyTree
  opt_state: Any
  key: UInt32[Array, "2"]


def make_optimizer(
  learning_rate: float = 1e-3, weight_decay: float = 1e-2, *, decay_steps: int = 0
) -> optax.GradientTransformation:
  """Returns AdamW with torch's defaults, as in the original.

  optax's default weight decay is a hundred times smaller.

  Args:
    learning_rate: the initial learning rate.
    weight_decay: the weight decay, which is multiplied by the learning rate.
    decay_steps: steps of a cosine decay to 0; 0 for a constant learning rate.

  Source: Loshchilov and Hutter 2017 and 2019; Hernandez et al. 2022, appendix.
  """
  rate: optax.ScalarOrSchedule = learning_rate
  if decay_steps:
    rate = optax.cosine_decay_schedule(learning_rate, decay_steps)
  return optax.adamw(rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=weight_decay)


def start_state(
  params: PyTree, *, optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
  """Returns the initial state."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    key=jax.random.key_data(jax.random.key(seed)),
  )
