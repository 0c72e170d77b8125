"""The state of a training run: everything that a step reads and writes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree, UInt32


class TrainState(NamedTuple):
  """State before a step.

  Attributes:
    step: number of steps taken. ()
    params: weights of the model, float32.
    opt_state: moments of the optimizer: twice the size of `params`.
    key: raw data of the run's PRNG key; step and key decide the dropout. (2,)
  """

  step: Int[Array, ""]
  params: PyTree
  opt_state: Any
  key: UInt32[Array, "2"]


def make_optimizer(
  learning_rate: float = 1e-3, weight_decay: float = 1e-2, *, decay_steps: int = 0
) -> optax.GradientTransformation:
  """Returns AdamW with torch's defaults, as in the original.

  optax's own default for the weight decay is a hundred times smaller.

  Args:
    learning_rate: step size, at the first step.
    weight_decay: decay of the weights, before the step size multiplies it.
    decay_steps: steps in which it falls to 0 along half a cosine; 0 keeps it as it is.

  Source: Loshchilov and Hutter 2017 and 2019; Hernandez et al. 2022, appendix.
  """
  rate: optax.ScalarOrSchedule = learning_rate
  if decay_steps:
    rate = optax.cosine_decay_schedule(learning_rate, decay_steps)
  return optax.adamw(rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=weight_decay)


def start_state(
  params: PyTree, *, optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
  """Returns the state before the first step."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    key=jax.random.key_data(jax.random.key(seed)),
  )
