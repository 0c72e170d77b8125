"""The one pass over the images: every chosen layer's statistics at once.

While the model runs on one batch, the statistics take in the batch before, and the
images of the batches to come are decoded.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import shards as passes
from milan_jax._src.exemplars import stats
from milan_jax._src.exemplars.shards import WHOLE, Part, Progress, Times
from milan_jax._src.images.loader import Batch, batches
from milan_jax._src.images.source import Skipped, Source
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.records import LayerShape

QUANTILE = 0.99


@dataclasses.dataclass(frozen=True, slots=True)
class Collected:
  """What a pass found.

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
  *,
  k: int = 15,
  **options: Any,
) -> Collected:
  """Runs the probe over all images once and keeps each unit's exemplars and level.

  Args:
    probe: the model.
    source: the images; an exemplar's id is its position here.
    layers: names of layers of the probe.
    k: exemplars of a unit.
    options: more of `observe`'s.

  Raises:
    UserError: as `observe`; or if fewer than `k` images could be read.
  """
  times = Times()
  progress = observe(probe, source, layers, k=k, times=times, **options)
  skipped, began = progress.skipped, time.perf_counter()
  finished = passes.finish(progress, k=k, num_images=len(source))
  times.statistics += time.perf_counter() - began
  return Collected(finished, skipped, times)


def observe(
  probe: Probe,
  source: Source,
  layers: Sequence[str],
  *,
  units: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  k: int = 15,
  quantile: float = QUANTILE,
  batch_size: int = 32,
  part: Part = WHOLE,
  workers: int = 0,
  threads: int = 2,
  resume: Progress | None = None,
  save: Callable[[Progress], None] | None = None,
  save_every: float = 60.0,
  report: Callable[[int, int, float], None] | None = None,
  times: Times | None = None,
) -> Progress:
  """Runs the probe once over the images, or over a part of them.

  Memory holds two batches, the top-k maps of the chosen units and their counts, and no
  more however many images there are. A pass that was broken off and goes on from a
  saved `Progress` gives the same bytes as an unbroken one, and so does one with another
  number of workers, threads, devices or parts.

  Args:
    probe: the model.
    source: the images; an exemplar's id is its position here.
    layers: names of layers of the probe.
    units: the units of each layer to look at; None takes all.
    k: exemplars of a unit.
    quantile: of the level.
    batch_size: images that go through one device together. The last batch is filled up
      to it with blank images, which are not counted.
    part: which stretches of the images to see.
    workers: processes that decode images; 0 for threads of this one.
    threads: threads that decode images, in each process.
    resume: where to go on, as `save` was given it; None begins. Its states are donated.
    save: called with the progress every `save_every` seconds, and before an error of
      the model is raised; waited for: its states are used up by what follows.
    save_every: seconds between saves.
    report: called after each batch with the images done, their total, both of this
      part, and the images a second so far.
    times: where to add the seconds spent.

  Raises:
    UserError: if there are fewer than `k` images, a layer is unknown, or the model
      fails; what was done before that is saved.
  """
  passes.check_enough(len(source), k)
  shapes = _shapes(probe, layers)
  progress = resume or passes.start(
    shapes, units=units, k=k, quantile=quantile, num_images=len(source)
  )
  names, before = tuple(progress.states), progress.done
  total = part.num_images(len(source), batch_size)
  times = times or Times()
  clock = _Clock(times)
  began = saved = time.perf_counter()
  stretches = part.stretches(len(source), batch_size)[before:]
  read = batches(
    source, batch_size, stretches=stretches, workers=workers, threads=threads
  )
  with (
    contextlib.closing(read),
    _Statistics(progress, units, times) as statistics,
    _saving_on_errors(statistics, save),
  ):
    for group in _groups(read, probe.num_devices):
      clock.add("decoding")
      arrays = _run(probe, group, names, source)
      clock.add("model")
      progress = statistics.settle()
      clock.add("statistics")
      if save and time.perf_counter() - saved >= save_every:
        save(progress)
        saved = time.perf_counter()
        clock.add("writing")
      statistics.take_in(group, arrays)
      if report:
        done = min((progress.done + len(group)) * batch_size, total)
        seconds = time.perf_counter() - began
        report(done, total, (done - before * batch_size) / seconds)
      clock.restart()
    progress = statistics.settle()
    clock.add("statistics")
  return progress


class _Statistics:
  """The statistics of all layers, which take in a batch beside the model."""

  def __init__(
    self,
    progress: Progress,
    units: Mapping[str, Int[np.ndarray, "_"]] | None,
    times: Times,
  ):
    self._progress = progress
    self._units = units or {}
    self._times = times
    self._under_way: Iterable[tuple[stats.LayerState, float]] | None = None
    self._next = progress
    workers = max(1, min(len(progress.states), os.cpu_count() or 1))
    self._pool = concurrent.futures.ThreadPoolExecutor(workers)

  def __enter__(self) -> "_Statistics":
    return self

  def __exit__(self, *error: object) -> None:
    self._pool.shutdown()

  def take_in(self, group: Sequence[Batch], arrays: dict[str, np.ndarray]) -> None:
    """Begins to take in a group's activations; what was begun before is settled."""
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
      # Layers know nothing of each other, and numpy lets go of the interpreter.
      self._under_way = self._pool.map(
        _update,
        self._progress.states.values(),
        itertools.repeat(image_ids),
        itertools.repeat(rows),
        (arrays[name] for name in self._progress.states),
        (self._units.get(name) for name in self._progress.states),
      )

  def settle(self) -> Progress:
    """Waits for what is under way, and gives the progress."""
    if self._under_way is not None:
      updated = list(self._under_way)
      self._under_way = None
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
) -> tuple[stats.LayerState, float]:
  """The state after some rows of a batch, and the processor time that it took."""
  began = time.thread_time()
  if units is not None and not np.array_equal(units, np.arange(activations.shape[3])):
    activations = activations[..., units]
  # A slice where no image is missing: the others would be copied.
  whole = rows[-1] == len(rows) - 1
  activations = activations[: len(rows)] if whole else activations[rows]
  state = stats.update(state, image_ids, activations)
  return state, time.thread_time() - began


def _groups(read: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
  """As many batches together as there are devices; fewer at the end."""
  while group := list(itertools.islice(read, size)):
    yield group


@contextlib.contextmanager
def _saving_on_errors(
  statistics: _Statistics, save: Callable[[Progress], None] | None
) -> Iterator[None]:
  """Saves what was done before an error of the model or of the images."""
  try:
    yield
  except Exception as error:
    # A disk that is full stays so.
    if save and not isinstance(error, OSError):
      save(statistics.settle())
    raise


def _run(
  probe: Probe, group: list[Batch], layers: tuple[str, ...], source: Source
) -> dict[str, np.ndarray]:
  """The activations of a group, each device's batch filled up to its size.

  Raises:
    UserError: if the model fails.
  """
  if not any(each.rows.size for each in group):
    return {}
  inputs = [each.inputs for each in group]
  # At the end some devices get blank images, which nobody counts.
  inputs += [np.full_like(inputs[0], source.blank)] * (probe.num_devices - len(group))
  try:
    found = probe.activations(
      np.concatenate(inputs) if len(inputs) > 1 else inputs[0], layers
    )
    return {name: np.asarray(found[name]) for name in layers}
  except UserError:
    raise
  except Exception as error:
    raise UserError(_failure(error, source, group)) from error


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
    "What was done before is kept: mend the model, or take out the image that it "
    "cannot bear."
  )


class _Clock:
  """Adds the time since the last reading to one of the parts."""

  def __init__(self, times: Times):
    self._times = times
    self._since = time.perf_counter()

  def add(self, part: str) -> None:
    now = time.perf_counter()
    setattr(self._times, part, getattr(self._times, part) + now - self._since)
    self._since = now

  def restart(self) -> None:
    self._since = time.perf_counter()
