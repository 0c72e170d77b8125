"""The training loop: epochs, early stopping, checkpoints, and going on after a kill."""

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


class Fitted(NamedTuple):
  """The weights of the best epoch, and the epochs."""

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
    stop_by: str = "nll",
    measure: Measure = lambda params: {},
    max_epochs: int = 100,
    patience: int = 4,
    checkpoint_every: int = 500,
    seed: int = 0,
    on_epoch: Callable[[tuple[Epoch, ...]], None] = lambda epochs: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
  ) -> Fitted:
    """Trains until the validation part stops improving; goes on where it was stopped.

    Seed, samples and initial weights decide the result, however often the run was
    killed: what is random in an epoch depends on the seed and the epoch or step alone.

    Args:
      params: initial weights.
      training: what to train on.
      validation: what to stop by.
      checkpoints: where to keep the state, and to find it again.
      stop_by: one of `CRITERIA`: a term of the losses over the validation part, or what
        `measure` gives. Not their sum: the attention penalty depends on a batch's
        longest caption, and the original leaves it out too.
      measure: called with the weights after each epoch.
      max_epochs: stop after so many epochs in any case.
      patience: epochs in a row without improvement that are forgiven.
      checkpoint_every: steps between two checkpoints within an epoch.
      seed: decides shuffling and dropout.
      on_epoch: called with all epochs so far after each of them, and on resuming.
      progress: called with the number of batches done and of all in the epoch.

    Returns:
      The weights of the epoch that was best by `stop_by`.

    Raises:
      UserError: if the losses are no longer finite.
    """
    num_batches = batches.num_batches(training, self._batch_size)
    arrays = _Arrays(
      state.start_state(params, optimizer=self._optimizer, seed=seed),
      self._no_terms(),
      params,
    )
    # The step consumes its state, so no two arrays may share a buffer.
    arrays = steps.replicate(jax.tree.map(jnp.copy, arrays), self._mesh)
    epochs: tuple[Epoch, ...] = ()
    done = 0
    latest = checkpoints.latest()
    if latest is not None:
      arrays, kept = checkpoints.restore(latest, arrays)
      epochs = tuple(Epoch(**epoch) for epoch in kept["epochs"])
      done = kept["batches"]
      if epochs:
        on_epoch(epochs)

    def save(arrays: _Arrays, epochs: tuple[Epoch, ...], done: int) -> None:
      kept = {"epochs": [dataclasses.asdict(epoch) for epoch in epochs]}
      step = int(arrays.train_state.step)
      checkpoints.save(step, arrays, {"batches": done, **kept})

    stopping = early_stopping.EarlyStopping(patience)
    sign = -1 if CRITERIA[stop_by] else 1
    for epoch in epochs:
      stopping = stopping.updated(sign * epoch.validation[stop_by])

    while stopping.epoch < max_epochs and not stopping.stop:
      train_state, so_far, best = arrays
      began, skipped = time.monotonic(), done
      order = batches.shuffled(training, seed=seed, epoch=stopping.epoch)
      for batch in self._batches(order, start=done):
        batch = steps.shard(batch, self._mesh)
        train_state, so_far = self._step(train_state, so_far, batch)
        done += 1
        progress(done, num_batches)
        if done % checkpoint_every == 0 and done < num_batches:
          save(_Arrays(train_state, so_far, best), epochs, done)
      trained = means(so_far)
      seconds = time.monotonic() - began
      validated = self.evaluate(train_state.params, validation)
      _check(trained, validated, stopping.epoch)
      validated |= measure(train_state.params)
      stopping = stopping.updated(sign * validated[stop_by])
      if stopping.improved:
        best = jax.tree.map(jnp.copy, train_state.params)
      num_captions = len(training.rows) - skipped * self._batch_size
      epochs += (
        Epoch(
          epoch=stopping.epoch - 1,
          training=trained,
          validation=validated,
          improved=stopping.improved,
          seconds=seconds,
          captions_per_second=num_captions / seconds,
        ),
      )
      done = 0
      arrays = _Arrays(train_state, self._no_terms(), best)
      save(arrays, epochs, done)
      on_epoch(epochs)
    return Fitted(arrays.best, epochs)

  def _no_terms(self) -> losses.Terms:
    terms: losses.Terms = steps.replicate(losses.no_terms(self._terms), self._mesh)
    return terms


def _check(trained: dict[str, float], validated: dict[str, float], epoch: int) -> None:
  if not (math.isfinite(trained["loss"]) and math.isfinite(validated["loss"])):
    raise UserError(
      f"the losses of epoch {epoch} are no longer finite (training "
      f"{trained['loss']}, validation {validated['loss']}): lower the learning rate, "
      "and look whether the features are finite"
    )
