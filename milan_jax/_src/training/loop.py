"""The training loop: epochs, early stopping, checkpoints, and resuming."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from milan_jax._src.errors import UserError
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.training import (
  batches,
  early_stopping,
  finite_losses,
  losses,
  profiling,
  read_ahead,
  state,
  throughput,
)
from milan_jax._src.training import step as steps


@runtime_checkable
class Checkpoints(Protocol):
  """Storage for the state of the loop: arrays and a JSON value per saved step."""

  def latest(self) -> int | None:
    """Returns the latest saved step."""

  def save(self, step: int, arrays: PyTree, progress: dict[str, Any]) -> None:
    """Saves the state after `step` atomically."""

  def restore(self, step: int, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Returns a saved state, with the arrays sharded as in `like`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Epoch:
  """The results of an epoch. Losses are in nats.

  Attributes:
    epoch: its number, from 0.
    training: the mean of each term over the epoch, with dropout, and their sum "loss".
    validation: the same for the validation split after the epoch, without dropout, and
      the additional metrics.
    improved: whether the stopping criterion is the best so far.
    seconds: wall time of training since the epoch began or was resumed.
    captions_per_second: training captions per second in that time.
    step_seconds: mean seconds of a step in that time.
    flops_per_second: floating-point operations of matrix products per second in that
      time.
    mfu: the same as a fraction of the devices' peak in bfloat16; None if it is unknown.
  """

  epoch: int
  training: dict[str, float]
  validation: dict[str, float]
  improved: bool
  seconds: float
  captions_per_second: float
  # Checkpoints of earlier versions do not have these.
  step_seconds: float | None = None
  flops_per_second: float | None = None
  mfu: float | None = None


class FitOutput(NamedTuple):
  """The weights of the best epoch, and all epochs."""

  params: PyTree
  epochs: tuple[Epoch, ...]


class _Arrays(NamedTuple):
  """The arrays in a checkpoint."""

  train_state: state.TrainState
  so_far: losses.Terms
  best: PyTree


# The numbers of positions that the output layer reads fit so many epochs; a batch of a
# later one may have more real tokens, and then another program.
_EPOCHS_SEEN = 4
# Computes additional metrics of the weights after an epoch, by name.
Measure = Callable[[PyTree], dict[str, float]]
# The stopping criteria, and whether a larger value is better.
CRITERIA = {"nll": False, "bleu": True}


@dataclasses.dataclass(frozen=True, slots=True)
class FitOptions:
  """When to stop, when to save, and the seed.

  Attributes:
    stop_by: one of `CRITERIA`: a term of the validation losses, or a name that
      `FitHooks.measure` returns. The sum of the terms is not a criterion, because the
      attention penalty depends on a batch's longest caption; the original does not use
      it either.
    max_epochs: maximum number of epochs.
    patience: epochs without improvement before stopping.
    checkpoint_every: steps between two checkpoints within an epoch.
    seed: seeds shuffling and dropout.
  """

  stop_by: str = "nll"
  max_epochs: int = 100
  patience: int = 4
  checkpoint_every: int = 500
  seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class FitHooks:
  """Callbacks of the loop.

  Attributes:
    measure: called with the weights after each epoch.
    on_epoch: called with all epochs so far after each epoch and when resuming.
    progress: called with the batches done and the total batches of the epoch.
    trace: traces some of the steps.
  """

  measure: Measure = lambda params: {}
  on_epoch: Callable[[tuple[Epoch, ...]], None] = lambda epochs: None
  progress: Callable[[int, int], None] = lambda done, total: None
  trace: profiling.Trace = dataclasses.field(default_factory=profiling.Trace)


class FitState(NamedTuple):
  """The state of the loop.

  Attributes:
    arrays: the arrays in a checkpoint.
    epochs: the finished epochs.
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
  """Trains one model with one objective."""

  def __init__(
    self,
    objective: steps.Objective,
    *,
    terms: tuple[str, ...],
    optimizer: optax.GradientTransformation,
    batch_size: int,
    pad_id: int,
    gather: batches.Gather | None = None,
    order: str = "random",
    lengths: tuple[int, ...] = (),
    packed: bool = True,
  ) -> None:
    """Compiles nothing yet.

    Args:
      objective: computes the losses of a batch.
      terms: names of the losses' terms.
      optimizer: transforms gradients to updates.
      batch_size: captions per batch.
      pad_id: the padding id.
      gather: returns the features of units; None for the language model.
      order: order of an epoch's captions: random, or length, by similar lengths.
      lengths: the lengths that captions are padded to, as in
        `batches.padded_lengths`.
      packed: whether the objective reads `Batch.positions`.
    """
    self._order, self._lengths, self._packed = order, lengths, packed
    self._terms = terms
    self._optimizer = optimizer
    self._batch_size = batch_size
    self._pad_id = pad_id
    self._mesh = make_mesh()
    self._shape: dict[str, Any] = {
      "batch_size": batch_size,
      "pad_id": pad_id,
      "lengths": lengths,
      "num_devices": self._mesh.size,
    }
    self._read_ahead = functools.partial(
      read_ahead.read_ahead,
      batch_size=batch_size,
      gather=gather,
      local_rows=steps.local_rows(self._mesh),
    )
    self._step = steps.make_step(objective, optimizer)
    self._meter = throughput.Meter(self._step, self._mesh)
    self._evaluation = steps.make_evaluation(objective)

  def evaluate(self, params: PyTree, samples: batches.Samples) -> dict[str, float]:
    """Returns the mean losses of `samples`, without dropout."""
    terms = self._no_terms()
    positions = None
    if self._order == "length":
      samples = batches.by_length(samples, pad_id=self._pad_id, lengths=self._lengths)
      positions = batches.choose_positions([samples], **self._shape)
    for batch in self._batches(samples, positions):
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
    """Trains until the stopping criterion no longer improves; resumes a stopped run.

    The result depends only on seed, samples and initial weights, even if the run was
    killed: randomness depends only on the seed and the epoch or step.

    Args:
      params: initial weights.
      training: the training samples.
      validation: the validation samples.
      checkpoints: storage for the state of the loop.
      options: when to stop and to save, and the seed.
      hooks: callbacks; None for none.

    Returns:
      The weights of the best epoch by `options.stop_by`, and all epochs.

    Raises:
      UserError: if the losses are not finite.
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
      skipped = current.done
      self._meter.start()
      current = self._train_epoch(
        current, training, checkpoints, stopping.epoch, options, hooks
      )
      train_state, so_far, best = current.arrays
      trained = means(so_far)
      rates = self._meter.read()
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
        captions_per_second=num_captions / rates.seconds,
        **rates._asdict(),
      )
      arrays = _Arrays(train_state, self._no_terms(), best)
      current = FitState(arrays, (*current.epochs, epoch), done=0)
      _save(checkpoints, current)
      hooks.on_epoch(current.epochs)
    return FitOutput(current.arrays.best, current.epochs)

  def _start(self, params: PyTree, checkpoints: Checkpoints, seed: int) -> FitState:
    """Returns the state of the latest checkpoint, or the initial state."""
    arrays = _Arrays(
      state.start_state(params, optimizer=self._optimizer, seed=seed),
      self._no_terms(),
      params,
    )
    # The step donates its state, so no two arrays may share a buffer.
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
    """Trains on the remaining batches of an epoch."""
    num_batches = batches.num_batches(training, self._batch_size)
    order = self._ordered(training, options.seed, epoch)
    positions = self._positions(training, options.seed)
    first_step = int(current.arrays.train_state.step)
    check = finite_losses.FiniteLosses(epoch, first_step)
    read = self._batches(order, positions, start=current.done)
    for step, batch in enumerate(read, first_step):
      (train_state, so_far, best), epochs, done = current
      batch = steps.shard(batch, self._mesh)
      self._meter.count(train_state, so_far, batch)
      hooks.trace.before(step)
      with jax.profiler.StepTraceAnnotation("train", step_num=step):
        train_state, so_far = self._step(train_state, so_far, batch)
      hooks.trace.after(step, train_state)
      check.add(so_far)
      current = FitState(_Arrays(train_state, so_far, best), epochs, done + 1)
      hooks.progress(current.done, num_batches)
      if current.done % options.checkpoint_every == 0 and current.done < num_batches:
        check.finish()
        _save(checkpoints, current)
    check.finish()
    return current

  def _ordered(
    self, samples: batches.Samples, seed: int, epoch: int
  ) -> batches.Samples:
    """Returns the samples in the order of an epoch."""
    if self._order == "random":
      return batches.shuffled(samples, seed=seed, epoch=epoch)
    return batches.grouped(
      samples,
      batch_size=self._batch_size,
      pad_id=self._pad_id,
      lengths=self._lengths,
      seed=seed,
      epoch=epoch,
    )

  def _positions(self, samples: batches.Samples, seed: int) -> dict[int, int] | None:
    """Chooses the numbers of positions of all epochs; None in random order."""
    if self._order == "random":
      return None
    orders = (self._ordered(samples, seed, epoch) for epoch in range(_EPOCHS_SEEN))
    return batches.choose_positions(orders, **self._shape)

  def _batches(
    self,
    samples: batches.Samples,
    positions: dict[int, int] | None,
    start: int = 0,
  ) -> Iterator[batches.Batch]:
    """Yields the batches of samples in their order."""
    make = functools.partial(
      batches.batches, positions=positions, packed=self._packed, **self._shape
    )
    return self._read_ahead(make, samples, start=start)

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
      f"the losses of epoch {epoch} are not finite (training "
      f"{trained['loss']}, validation {validated['loss']}): lower the learning rate, "
      "and check that the features are finite"
    )
