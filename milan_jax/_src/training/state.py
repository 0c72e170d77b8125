"""The training state that a step reads and updates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree, UInt32

from milan_jax._src.errors import UserError
from milan_jax._src.runs.random_keys import random_key
from milan_jax._src.training import adam


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


def make_schedule(
  learning_rate: float, *, warmup_steps: int = 0, decay_steps: int = 0
) -> optax.ScalarOrSchedule:
  """Returns the learning rate as a function of the number of finished updates.

  Args:
    learning_rate: the largest learning rate.
    warmup_steps: updates of the warm-up; update n of N, from 1, has n/N of the rate.
    decay_steps: all updates, the warm-up included, at whose end the cosine decay that
      follows the warm-up reaches 0; 0 for a constant learning rate.

  Raises:
    UserError: if the warm-up leaves no update for the decay.
  """
  if decay_steps and warmup_steps >= decay_steps:
    raise UserError(
      f"--warmup_steps={warmup_steps}: expected fewer than the {decay_steps} updates "
      "of --max_epochs epochs, after which --cosine_decay ends; use a shorter warm-up "
      "or more epochs."
    )
  rate: optax.ScalarOrSchedule = learning_rate
  if decay_steps:
    rate = optax.cosine_decay_schedule(learning_rate, decay_steps - warmup_steps)
  if not warmup_steps:
    return rate
  following = rate if callable(rate) else optax.constant_schedule(learning_rate)
  rising = optax.linear_schedule(
    learning_rate / warmup_steps, learning_rate, warmup_steps - 1
  )
  return optax.join_schedules([rising, following], [warmup_steps])


def make_optimizer(
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-2,
  *,
  warmup_steps: int = 0,
  decay_steps: int = 0,
  update_rule: str = "adamw",
  clip_norm: float | None = None,
  accumulate_steps: int = 1,
) -> optax.GradientTransformation:
  """Returns the optimizer; by default AdamW with torch's defaults, as in the original.

  The chains are those of `optax.adamw` and `optax.lamb`, but for the exact bias
  corrections of `adam`.

  Args:
    learning_rate: the largest learning rate.
    weight_decay: the weight decay, which is multiplied by the learning rate.
    warmup_steps: as for `make_schedule`.
    decay_steps: as for `make_schedule`.
    update_rule: adamw or lamb.
    clip_norm: largest global norm of the gradient of an update; None for no limit.
    accumulate_steps: steps whose mean gradient is one update.

  Raises:
    UserError: if the warm-up leaves no update for the decay.

  Source: Loshchilov and Hutter 2017 and 2019; You et al. 2020 (LAMB); Hernandez et al.
  2022, appendix.
  """
  rate = make_schedule(
    learning_rate, warmup_steps=warmup_steps, decay_steps=decay_steps
  )
  is_lamb = update_rule == "lamb"
  optimizer = optax.chain(
    adam.scale_by_adam(
      first_decay=0.9, second_decay=0.999, epsilon=1e-6 if is_lamb else 1e-8
    ),
    optax.add_decayed_weights(weight_decay),
    *([optax.scale_by_trust_ratio()] if is_lamb else []),
    optax.scale_by_learning_rate(rate),
  )
  if clip_norm is not None:
    optimizer = optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
  if accumulate_steps > 1:
    steps = optax.MultiSteps(optimizer, accumulate_steps)
    optimizer = steps.gradient_transformation()
  return optimizer


def start_state(
  params: PyTree, *, optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
  """Returns the initial state."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    key=jax.random.key_data(random_key(seed)),
  )
