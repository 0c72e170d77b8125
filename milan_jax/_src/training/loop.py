"""The training loop: epochs, early stopping, checkpoints, and resuming after a kill."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from milan_jax._src.errors import UserError
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.training import batches, early_stopping, losses, state
from milan_jax._src.training import step as steps


@runtime_checkable
class Checkpoints(Protocol):
  """Where the loop keeps its state: arrays and a JSON value for some steps."""

  def latest(self) -> int | None:
    """Returns the newest step kept."""

  def save(self, step: int, arrays: PyTree, progress: dict[str, Any]) -> None:
    """Keeps the state after `step`, whole or not at all."""

  def restore(self, step: int, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Returns what was saved, with arrays placed as in `like`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Epoch:
  """What is reported of an epoch. Losses are in nats.

  Attributes:
    epoch: its number, from 0.
    training: each term's mean over the epoch, dropout on, and their sum as "loss".
    validation: the same over the validation part, dropout off, after the epoch, and
      what else was measured there.
    improved: whether it is the best so far, by what the run stops by.
    seconds: wall time of training since the epoch began, or since it was resumed.
    captions_per_second: training captions per second in that time.
  """

  epoch: int
  training: dict[str, float]
  validation: dict[str, float]
  improved: bool
  seconds: float
  captions_per_second: float


class FitOutput(NamedTuple):
  """The weights of the best epoch, and all epochs."""

  params: PyTree
  epochs: tuple[Epoch, ...]


class _Arrays(NamedTuple):
  """What a checkpoint holds."""

  train_state: state.TrainState
  so_far: losses.Terms
  best: PyTree


# Measures more of the weights after an epoch, by name.
Measure = Callable[[PyTree], dict[str, float]]
# What a run may stop by, and whether more of it is better.
CRITERIA = {"nll": False, "bleu": True}


@dataclasses.dataclass(frozen=True, slots=True)
class FitOptions:
  """When to stop, when to save, and the seed.

  Attributes:
    stop_by: one of `CRITERIA`: a term of the losses over the validation part, or a name
      that `FitHooks.measure` returns. Not the sum of the terms: the attention penalty
      depends on a batch's longest caption, and the original leaves it out too.
    max_epochs: maximum number of epochs.
    patience: epochs without improvement before stopping.
    checkpoint_every: steps between two checkpoints within an epoch.
    seed: decides shuffling and dropout.
  """

  stop_by: str = "nll"
  max_epochs: int = 100
  patience: int = 4
  checkpoint_every: int = 500
  seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class FitHooks:
  """What the loop calls on its way.

  Attributes:
    measure: called with the weights after each epoch.
    on_epoch: called with all epochs so far after each of them, and on resuming.
    progress: called with the number of batches done and of all in the epoch.
  """

  measure: Measure = lambda params: {}
  on_epoch: Callable[[tuple[Epoch, ...]], None] = lambda epochs: None
  progress: Callable[[int, int], None] = lambda done, total: None


class FitState(NamedTuple):
  """Where the loop is.

  Attributes:
    arrays: what a checkpoint holds.
    epochs: the epochs finished.
    done: batches done in the current epoch.
  """

  arrays: _Arrays
  epochs: tuple[Epoch, ...]
  done: int


def means(terms: losses.Terms) -> dict[str, float]:
  """Returns each term's mean, and their sum as "loss"."""
  values = {name: float(mean.value) for name, mean in terms.items()}
  return {"loss": sum(values.values()), **values}


class Trainer:
  """Trains one model by one objective."""

  def __init__(
    self,
    objective: steps.Objective,
    *,
    terms: tuple[str, ...],
    optimizer: optax.GradientTransformation,
    batch_size: int,
    pad_id: int,
    gather: batches.Gather | None = None,
  ) -> None:
    """Compiles nothing yet.

    Args:
      objective: the losses of a batch.
      terms: names of the losses' terms.
      optimizer: makes updates of gradients.
      batch_size: captions in a batch.
      pad_id: the padding id.
      gather: gives the features of units; None for the language model.
    """
    self._terms = terms
    self._optimizer = optimizer
    self._batch_size = batch_size
    self._mesh = make_mesh()
    self._batches = functools.partial(
      batches.batches,
      batch_size=batch_size,
      pad_id=pad_id,
      gather=gather,
      num_devices=self._mesh.size,
    )
    self._step = steps.make_step(objective, optimizer)
    self._evaluation = steps.make_evaluation(objective)

  def evaluate(self, params: PyTree, samples: batches.Samples) -> dict[str, float]:
    """Returns the mean losses of `samples`, in their order, without dropout."""
    terms = self._no_terms()
    for batch in self._batches(samples):
      terms = self._evaluation(params, terms, steps.shard(batch, self._mesh))
    return means(terms)

  def fit(
    self,
    params: PyTree,
    *,
    training: batches.Samples,
    validation: batches.Samples,
    checkpoints: Checkpoints,
    options: FitOptions,
    hooks: FitHooks | None = None,
  ) -> FitOutput:
    """Trains until the validation part stops improving; resumes where it was stopped.

    Seed, samples and initial weights decide the result, however often the run was
    killed: what is random in an epoch depends only on the seed and the epoch or step.

    Args:
      params: initial weights.
      training: what to train on.
      validation: what to stop by.
      checkpoints: where to keep the state, and to find it again.
      options: when to stop and to save, and the seed.
      hooks: what to call on the way; None for nothing.

    Returns:
      The weights of the epoch that was best by `options.stop_by`.

    Raises:
      UserError: if the losses are no longer finite.
    """
    hooks = hooks or FitHooks()
    current = self._start(params, checkpoints, options.seed)
    if current.epochs:
      hooks.on_epoch(current.epochs)
    stopping = early_stopping.EarlyStopping(options.patience)
    sign = -1 if CRITERIA[options.stop_by] else 1
    for epoch in current.epochs:
      stopping = stopping.updated(sign * epoch.validation[options.stop_by])

    while stopping.epoch < options.max_epochs and not stopping.stop:
      began, skipped = time.monotonic(), current.done
      current = self._train_epoch(
        current, training, checkpoints, stopping.epoch, options, hooks
      )
      train_state, so_far, best = current.arrays
      trained = means(so_far)
      seconds = time.monotonic() - began
      validated = self.evaluate(train_state.params, validation)
      _check(trained, validated, stopping.epoch)
      validated |= hooks.measure(train_state.params)
      stopping = stopping.updated(sign * validated[options.stop_by])
      if stopping.improved:
        best = jax.tree.map(jnp.copy, train_state.params)
      num_captions = len(training.rows) - skipped * self._batch_size
      epoch = Epoch(
        epoch=stopping.epoch - 1,
        training=trained,
        validation=validated,
        improved=stopping.improved,
        seconds=seconds,
        captions_per_second=num_captions / seconds,
      )
      arrays = _Arrays(train_state, self._no_terms(), best)
      current = FitState(arrays, (*current.epochs, epoch), done=0)
      _save(checkpoints, current)
      hooks.on_epoch(current.epochs)
    return FitOutput(current.arrays.best, current.epochs)

  def _start(self, params: PyTree, checkpoints: Checkpoints, seed: int) -> FitState:
    """The state of the latest checkpoint, or that before the first step."""
    arrays = _Arrays(
      state.start_state(params, optimizer=self._optimizer, seed=seed),
      self._no_terms(),
      params,
    )
    # The step consumes its state, so no two arrays may share a buffer.
    arrays = steps.replicate(jax.tree.map(jnp.copy, arrays), self._mesh)
    latest = checkpoints.latest()
    if latest is None:
      return FitState(arrays, (), done=0)
    arrays, kept = checkpoints.restore(latest, arrays)
    return FitState(
      arrays, tuple(Epoch(**epoch) for epoch in kept["epochs"]), kept["batches"]
    )

  def _train_epoch(
    self,
    current: FitState,
    training: batches.Samples,
    checkpoints: Checkpoints,
    epoch: int,
    options: FitOptions,
    hooks: FitHooks,
  ) -> FitState:
    """Trains on the batches of an epoch that are not done yet."""
    num_batches = batches.num_batches(training, self._batch_size)
    order = batches.shuffled(training, seed=options.seed, epoch=epoch)
    for batch in self._batches(order, start=current.done):
      (train_state, so_far, best), epochs, done = current
      batch = steps.shard(batch, self._mesh)
      train_state, so_far = self._step(train_state, so_far, batch)
      current = FitState(_Arrays(train_state, so_far, best), epochs, done + 1)
      hooks.progress(current.done, num_batches)
      if current.done % options.checkpoint_every == 0 and current.done < num_batches:
        _save(checkpoints, current)
    return current

  def _no_terms(self) -> losses.Terms:
    terms: losses.Terms = steps.replicate(losses.no_terms(self._terms), self._mesh)
    return terms


def _save(checkpoints: Checkpoints, current: FitState) -> None:
  epochs = [dataclasses.asdict(epoch) for epoch in current.epochs]
  step = int(current.arrays.train_state.step)
  checkpoints.save(step, current.arrays, {"batches": current.done, "epochs": epochs})


def _check(trained: dict[str, float], validated: dict[str, float], epoch: int) -> None:
  if not (math.isfinite(trained["loss"]) and math.isfinite(validated["loss"])):
    raise UserError(
      f"the losses of epoch {epoch} are no longer finite (training "
      f"{trained['loss']}, validation {validated['loss']}): lower the learning rate, "
      "and look whether the features are finite"
    )
