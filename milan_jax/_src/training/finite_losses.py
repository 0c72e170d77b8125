"""Stops a run at the first step whose losses are not finite."""

import collections

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from milan_jax._src.errors import UserError
from milan_jax._src.training import losses

# A step's losses are read this many steps later, so that the device is not waited for.
DELAY = 16


@jax.jit
def _is_finite(terms: losses.Terms) -> Bool[Array, ""]:
  return jnp.isfinite(losses.sum_of_means(terms))


class FiniteLosses:
  """Checks the losses of an epoch's steps."""

  def __init__(self, epoch: int, step: int) -> None:
    """Checks nothing yet.

    Args:
      epoch: the number of the epoch, from 0.
      step: number of steps that the model has finished.
    """
    self._epoch, self._step = epoch, step
    self._found: collections.deque[tuple[int, Bool[Array, ""]]] = collections.deque()

  def add(self, so_far: losses.Terms) -> None:
    """Adds the losses of the epoch up to the next step.

    Raises:
      UserError: if the losses of a step `DELAY` or more steps ago are not finite.
    """
    self._step += 1
    self._found.append((self._step, _is_finite(so_far)))
    if len(self._found) > DELAY:
      self._read_next()

  def finish(self) -> None:
    """Waits for the steps that were added.

    Raises:
      UserError: if the losses of one are not finite.
    """
    while self._found:
      self._read_next()

  def _read_next(self) -> None:
    step, is_finite = self._found.popleft()
    if not is_finite:
      raise UserError(
        f"the losses of step {step} (epoch {self._epoch}) are not finite: lower the "
        "learning rate, or limit the gradients with --clip_norm, and check that the "
        "features are finite."
      )
