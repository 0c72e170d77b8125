"""The one pass over the images: every chosen layer's statistics at once.

While the model runs on one batch, the statistics of the batch before are updated, and
the images of the next batches are decoded.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import shards, stats
from milan_jax._src.exemplars.shards import WHOLE, Progress, Shard, Times
from milan_jax._src.exemplars.tails import Tail
from milan_jax._src.exemplars.top_images import Groups
from milan_jax._src.images.loader import Batch, batches
from milan_jax._src.images.source import Skipped, Source
from milan_jax._src.probe.probe_checks import check_arrays
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.records import LayerShape

QUANTILE = 0.99


@dataclasses.dataclass(frozen=True, slots=True)
class CollectOptions:
  """How a pass collects statistics; `k`, `quantile` and `tail` change the result.

  Attributes:
    k: exemplars of a unit.
    quantile: of the threshold, as a fraction.
    batch_size: images that go through one device together. The last batch is padded
      with blank images, which are not counted.
    workers: processes that decode images; 0 for threads of this one.
    threads: threads that decode images, in each process.
    tail: which tail of each unit's activations; all but "upper" collect both.
    distribution: whether to collect histograms, and samples from over the whole range.
  """

  k: int = 15
  quantile: float = QUANTILE
  tail: Tail = "upper"
  batch_size: int = 32
  workers: int = 0
  threads: int = 2
  distribution: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class CollectHooks:
  """What a pass calls on its way.

  Attributes:
    save: called with the progress every `save_every` seconds, and before an error of
      the model is raised. It must not keep the progress, whose states are donated next.
    save_every: seconds between saves.
    report: called after each batch with the images done, their total (both of this
      shard) and the images per second so far.
  """

  save: Callable[[Progress], None] | None = None
  save_every: float = 60.0
  report: Callable[[int, int, float], None] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class CollectOutput:
  """The statistics of all layers after a pass.

  Attributes:
    layers: the finished statistics of each layer, in the order chosen.
    skipped: the images that could not be read.
    times: seconds spent, in this process.
  """

  layers: dict[str, stats.LayerStatistics]
  skipped: tuple[Skipped, ...]
  times: Times


def collect(
  probe: Probe,
  source: Source,
  layers: Sequence[str],
  options: CollectOptions,
  *,
  units: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  resume: Progress | None = None,
  hooks: CollectHooks | None = None,
) -> CollectOutput:
  """Runs the probe over all images once: each unit's exemplars and threshold.

  Args:
    probe: the model.
    source: the images; an exemplar's id is its position here.
    layers: names of layers of the probe.
    options: how to collect.
    units: as for `accumulate`, and so are the others.
    resume: the progress to resume from.
    hooks: what to call.

  Raises:
    UserError: as `accumulate`; or if fewer than `k` images could be read.
  """
  times = Times()
  progress = accumulate(
    probe, source, layers, options, units=units, resume=resume, hooks=hooks, times=times
  )
  skipped, began = progress.skipped, time.perf_counter()
  finished = shards.finish(
    progress, k=options.k, num_images=len(source), tail=options.tail
  )
  times.statistics += time.perf_counter() - began
  return CollectOutput(finished, skipped, times)


def accumulate(
  probe: Probe,
  source: Source,
  layers: Sequence[str],
  options: CollectOptions,
  *,
  units: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  shard: Shard = WHOLE,
  resume: Progress | None = None,
  hooks: CollectHooks | None = None,
  times: Times | None = None,
) -> Progress:
  """Updates the statistics with all images, or with one shard of them, in one pass.

  Memory holds two batches, the top-k maps of the chosen units and their counts, however
  many images there are. A pass that was interrupted and resumed from a saved `Progress`
  gives the same bytes as an uninterrupted one, and so does one with another number of
  workers, threads, devices or shards.

  Args:
    probe: the model.
    source: the images; an exemplar's id is its position here.
    layers: names of layers of the probe.
    options: how to collect.
    units: the units of each layer to keep statistics of; None for all.
    shard: which batches of the images to see.
    resume: the progress to resume from, as `save` got it; None to start. It is donated.
    hooks: what to call on the way; None for nothing.
    times: where to add the seconds spent.

  Raises:
    UserError: if there are fewer than `k` images, a layer is unknown, or the model
      fails; what was done before that is saved.
  """
  shards.check_enough(len(source), options.k)
  shapes = _shapes(probe, layers)
  progress = resume or shards.start(
    shapes,
    units=units,
    k=options.k,
    quantile=options.quantile,
    num_images=len(source),
    tail=options.tail,
    distribution=options.distribution,
  )
  batch_indices = shard.batch_indices(len(source), options.batch_size)[progress.done :]
  read = batches(
    source,
    options.batch_size,
    batch_indices=batch_indices,
    workers=options.workers,
    threads=options.threads,
  )
  hooks, times = hooks or CollectHooks(), times or Times()
  with (
    contextlib.closing(read),
    _Statistics(
      progress, units, times, shards.groups_of(source, options.k)
    ) as statistics,
    _saving_on_errors(statistics, hooks.save),
  ):
    num_images = shard.num_images(len(source), options.batch_size)
    meter = _Meter(hooks.report, options.batch_size, num_images, progress.done)
    model = _Model(probe, source, {shape.name: shape for shape in shapes})
    return _run_all(model, read, statistics, hooks, meter, _Clock(times))


def _run_all(
  model: "_Model",
  read: Iterator[Batch],
  statistics: "_Statistics",
  hooks: CollectHooks,
  meter: "_Meter",
  clock: "_Clock",
) -> Progress:
  """Runs the model on all batches; returns the progress after them."""
  saved = time.perf_counter()
  for group in _groups(read, model.probe.num_devices):
    clock.add("decoding")
    arrays = model.run(group)
    clock.add("model")
    progress = statistics.wait()
    clock.add("statistics")
    if hooks.save and time.perf_counter() - saved >= hooks.save_every:
      hooks.save(progress)
      saved = time.perf_counter()
      clock.add("writing")
    statistics.submit(group, arrays)
    meter.update(progress.done + len(group))
    clock.restart()
  progress = statistics.wait()
  clock.add("statistics")
  return progress


class _Meter:
  """Reports how far a pass is, and its rate.

  Args:
    report: see `CollectHooks`.
    batch_size: images of a batch.
    num_images: images of the shard.
    done: batches that were done before.
  """

  def __init__(
    self,
    report: Callable[[int, int, float], None] | None,
    batch_size: int,
    num_images: int,
    done: int,
  ):
    self._report = report
    self._batch_size = batch_size
    self._num_images = num_images
    self._before = done * batch_size
    self._began = time.perf_counter()

  def update(self, done: int) -> None:
    """Reports that `done` batches of the shard are done."""
    if self._report:
      num_done = min(done * self._batch_size, self._num_images)
      seconds = time.perf_counter() - self._began
      self._report(num_done, self._num_images, (num_done - self._before) / seconds)


class _Statistics:
  """The statistics of all layers, updated in threads while the model runs.

  Attributes:
    failed: whether an update failed; some states may have been updated, others not.
  """

  def __init__(
    self,
    progress: Progress,
    units: Mapping[str, Int[np.ndarray, "_"]] | None,
    times: Times,
    groups: Groups | None,
  ):
    self._groups = groups
    self._progress = progress
    self._units = units or {}
    self._times = times
    self._pending: Iterable[tuple[stats.LayerState, float]] | None = None
    self.failed = False
    self._next = progress
    workers = max(1, min(len(progress.states), os.cpu_count() or 1))
    self._pool = concurrent.futures.ThreadPoolExecutor(workers)

  def __enter__(self) -> "_Statistics":
    return self

  def __exit__(self, *error: object) -> None:
    self._pool.shutdown()

  def submit(self, group: Sequence[Batch], arrays: dict[str, np.ndarray]) -> None:
    """Starts the update with a group's activations; `wait` must come before."""
    size = len(group[0].inputs)
    rows = np.concatenate([i * size + each.rows for i, each in enumerate(group)])
    image_ids = np.concatenate([each.image_ids for each in group])
    self._next = dataclasses.replace(
      self._progress,
      done=self._progress.done + len(group),
      skipped=self._progress.skipped + tuple(s for each in group for s in each.skipped),
    )
    if rows.size:
      self._times.forward_passes += 1
      # Layers are independent of each other, and numpy releases the GIL.
      self._pending = self._pool.map(
        _update,
        self._progress.states.values(),
        itertools.repeat(image_ids),
        itertools.repeat(rows),
        (arrays[name] for name in self._progress.states),
        (self._units.get(name) for name in self._progress.states),
        itertools.repeat(self._groups),
      )

  def wait(self) -> Progress:
    """Waits for the pending update and returns the progress."""
    if self._pending is not None:
      pending, self._pending = self._pending, None
      try:
        updated = list(pending)
      except BaseException:
        self.failed = True
        raise
      self._times.statistics_cpu += sum(seconds for _, seconds in updated)
      states = (state for state, _ in updated)
      self._next = dataclasses.replace(
        self._next, states=dict(zip(self._progress.states, states, strict=True))
      )
    self._progress = self._next
    return self._progress


def _update(
  state: stats.LayerState,
  image_ids: Int[np.ndarray, "n"],
  rows: Int[np.ndarray, "n"],
  activations: Float[np.ndarray, "batch height width units"],
  units: Int[np.ndarray, "_"] | None,
  groups: Groups | None,
) -> tuple[stats.LayerState, float]:
  """Updates a state with some rows of a batch; also returns the processor time."""
  began = time.thread_time()
  if units is not None and not np.array_equal(units, np.arange(activations.shape[3])):
    activations = activations[..., units]
  # A slice where no image is missing: fancy indexing would copy.
  whole = rows[-1] == len(rows) - 1
  activations = activations[: len(rows)] if whole else activations[rows]
  state = stats.update(state, image_ids, activations, groups)
  return state, time.thread_time() - began


def _groups(read: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
  """Groups as many batches as there are devices; fewer at the end."""
  while group := list(itertools.islice(read, size)):
    yield group


@contextlib.contextmanager
def _saving_on_errors(
  statistics: _Statistics, save: Callable[[Progress], None] | None
) -> Iterator[None]:
  """Saves the progress before an error of the model or of the images is raised."""
  try:
    yield
  except Exception as error:
    # A full disk would only raise again, and so would an update that failed.
    if save and not isinstance(error, OSError) and not statistics.failed:
      save(statistics.wait())
    raise


@dataclasses.dataclass(frozen=True, slots=True)
class _Model:
  """The model and what it runs on.

  Attributes:
    probe: the model.
    source: its inputs.
    shapes: its layers that are read, by name.
  """

  probe: Probe
  source: Source
  shapes: Mapping[str, LayerShape]

  def run(self, group: list[Batch]) -> dict[str, np.ndarray]:
    """Returns the activations of a group, one batch per device.

    Raises:
      UserError: if the model fails, or returns arrays of unexpected shapes.
    """
    if not any(each.rows.size for each in group):
      return {}
    inputs = [each.inputs for each in group]
    # At the end some devices get blank images, which are not counted.
    missing = self.probe.num_devices - len(group)
    inputs += [np.full_like(inputs[0], self.source.blank)] * missing
    whole = np.concatenate(inputs) if len(inputs) > 1 else inputs[0]
    layers = tuple(self.shapes)
    try:
      found = self.probe.activations(whole, layers)
      return check_arrays(found, self.shapes, layers, len(whole))
    except UserError:
      raise
    except Exception as error:
      raise UserError(_failure(error, self.source, group)) from error


def _shapes(probe: Probe, layers: Sequence[str]) -> list[LayerShape]:
  shapes = {shape.name: shape for shape in probe.layers()}
  unknown = [name for name in layers if name not in shapes]
  if unknown:
    raise UserError(f"The model has no layer {', '.join(unknown)}.")
  return [shapes[name] for name in layers]


def _failure(error: Exception, source: Source, group: Sequence[Batch]) -> str:
  names = ", ".join(
    f"{source.name(batch.start)} to {source.name(batch.stop - 1)}" for batch in group
  )
  frames = traceback.extract_tb(error.__traceback__)
  where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
  return (
    f"The model failed on images {names}: {type(error).__name__}: {error}{where}. "
    "What was done before is kept: fix the model, or take out the image that it "
    "cannot bear."
  )


class _Clock:
  """Adds the time since the last reading to one of the steps of a pass."""

  def __init__(self, times: Times):
    self._times = times
    self._since = time.perf_counter()

  def add(self, step: str) -> None:
    now = time.perf_counter()
    setattr(self._times, step, getattr(self._times, step) + now - self._since)
    self._since = now

  def restart(self) -> None:
    self._since = time.perf_counter()
