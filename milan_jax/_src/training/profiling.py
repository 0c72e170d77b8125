"""Traces of a few training steps, written by JAX's profiler."""

import pathlib
import re
from typing import NamedTuple

import jax
from jaxtyping import PyTree

from milan_jax._src.errors import UserError


class Traced(NamedTuple):
  """The steps to trace.

  Attributes:
    start: number of steps before the first traced one.
    num_steps: number of traced steps; 0 for no trace.
  """

  start: int = 0
  num_steps: int = 0


def parse(profile: str | None) -> Traced:
  """Parses `--profile`.

  Raises:
    UserError: if it is not START:STEPS with at least one step.
  """
  if profile is None:
    return Traced()
  match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", profile)
  if match is None or int(match[2]) < 1:
    raise UserError(
      f"--profile={profile}: expected START:STEPS, two whole numbers, as 20:5 for five "
      "steps after the first twenty."
    )
  return Traced(int(match[1]), int(match[2]))


class Trace:
  """Traces a model's steps into a folder; a context manager.

  Attributes:
    is_written: whether a trace was written.
  """

  def __init__(
    self, folder: pathlib.Path | None = None, traced: Traced | None = None
  ) -> None:
    """Traces nothing yet; by default nothing at all.

    Args:
      folder: where the trace is written.
      traced: the steps to trace.
    """
    self._folder, self._traced = folder, traced or Traced()
    self._on = self.is_written = False

  def __enter__(self) -> "Trace":
    return self

  def __exit__(self, *error: object) -> None:
    self._stop()

  def before(self, step: int) -> None:
    """Begins the trace if it begins with this step.

    Args:
      step: number of steps before this one.
    """
    if self._folder and self._traced.num_steps and step == self._traced.start:
      jax.profiler.start_trace(self._folder)
      self._on = True

  def after(self, step: int, arrays: PyTree) -> None:
    """Ends the trace if this step is its last.

    Args:
      step: number of steps before this one.
      arrays: the step's results, which are waited for.
    """
    if self._on and step + 1 >= sum(self._traced):
      jax.block_until_ready(arrays)
      self._stop()

  def _stop(self) -> None:
    if self._on:
      jax.profiler.stop_trace()
      self._on, self.is_written = False, True
