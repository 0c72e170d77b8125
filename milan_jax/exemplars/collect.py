"""The one pass over the images: every chosen layer's statistics at once."""

import concurrent.futures
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from milan_jax.errors import UserError
from milan_jax.exemplars import stats
from milan_jax.images.source import ImageSource, Skipped, batches
from milan_jax.probe.protocol import Probe
from milan_jax.records import LayerShape

QUANTILE = 0.99


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
  """A pass part of the way through: all that going on needs.

  Attributes:
    position: how many positions of the source are done.
    states: statistics of each layer so far, in the order chosen.
    skipped: images that could not be read so far.
  """

  position: int
  states: dict[str, stats.LayerState]
  skipped: tuple[Skipped, ...]


@dataclasses.dataclass(slots=True)
class Times:
  """Seconds that the parts of a pass took.

  Decoding goes on beside everything else: `decoding` is the time spent waiting for it.
  """

  model: float = 0.0
  decoding: float = 0.0
  statistics: float = 0.0
  writing: float = 0.0


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
  source: ImageSource,
  layers: Sequence[str],
  *,
  k: int = 15,
  quantile: float = QUANTILE,
  batch_size: int = 32,
  threads: int = 2,
  resume: Progress | None = None,
  save: Callable[[Progress], None] | None = None,
  save_every: float = 60.0,
  report: Callable[[int, int, float], None] | None = None,
) -> Collected:
  """Runs the probe over all images once and keeps each unit's exemplars and level.

  Memory holds a batch, the top-k maps of the chosen units and their counts, and no more
  however many images there are. A pass that was broken off and goes on from a saved
  `Progress` gives the same bytes as an unbroken one, and so does one with another
  number of threads.

  Args:
    probe: the model.
    source: the images; an exemplar's id is its position here.
    layers: names of layers of the probe.
    k: exemplars of a unit.
    quantile: of the level.
    batch_size: images that go through the model together. The last batch is filled up
      to it with blank images, which are not counted.
    threads: threads that decode images.
    resume: where to go on, as `save` was given it; None begins. Its states are donated.
    save: called with the progress every `save_every` seconds, and waited for: the
      states it is given are used up by what follows.
    save_every: seconds between saves.
    report: called after each batch with the images done, their total and the images
      a second so far.

  Raises:
    UserError: if there are fewer than `k` readable images, or a layer is unknown.
  """
  if len(source) < k:
    raise UserError(
      f"{k} exemplars of a unit need at least {k} images, and there are "
      f"{len(source)}: give more images or a smaller k."
    )
  shapes = _shapes(probe, layers)
  progress = resume or start(shapes, k=k, quantile=quantile, num_images=len(source))
  position, skipped = progress.position, progress.skipped
  states = progress.states
  times = Times()
  began, first, saved = time.perf_counter(), position, time.perf_counter()
  workers = max(1, min(len(shapes), os.cpu_count() or 1))
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    stretch = batches(source, batch_size, start=position, threads=threads)
    clock = _Clock(times)
    for batch in stretch:
      clock.add("decoding")
      position, skipped = batch.stop, skipped + batch.skipped
      if batch.image_ids.size:
        found = probe.activations(batch.images, tuple(states))
        count = batch.image_ids.size
        arrays = [np.asarray(found[name])[:count] for name in states]
        clock.add("model")
        # Layers know nothing of each other, and numpy lets go of the interpreter.
        ids = itertools.repeat(batch.image_ids)
        updated = pool.map(stats.update, states.values(), ids, arrays)
        states = dict(zip(states, updated, strict=True))
        clock.add("statistics")
      if save and time.perf_counter() - saved >= save_every:
        save(Progress(position, states, skipped))
        saved = time.perf_counter()
        clock.add("writing")
      if report:
        rate = (position - first) / (time.perf_counter() - began)
        report(position, len(source), rate)
      clock.restart()
  if len(source) - len(skipped) < k:
    raise UserError(_too_few(len(source), skipped, k))
  clock.restart()
  finished = {name: stats.finish(states.pop(name)) for name in tuple(states)}
  clock.add("statistics")
  return Collected(finished, skipped, times)


def start(
  shapes: Sequence[LayerShape], *, k: int, quantile: float, num_images: int
) -> Progress:
  """The progress before the first image."""
  return Progress(
    position=0,
    states={
      shape.name: stats.start(shape, k=k, quantile=quantile, num_images=num_images)
      for shape in shapes
    },
    skipped=(),
  )


def _shapes(probe: Probe, layers: Sequence[str]) -> list[LayerShape]:
  shapes = {shape.name: shape for shape in probe.layers()}
  unknown = [name for name in layers if name not in shapes]
  if unknown:
    raise UserError(f"The model has no layer {', '.join(unknown)}.")
  return [shapes[name] for name in layers]


def _too_few(num_images: int, skipped: tuple[Skipped, ...], k: int) -> str:
  readable = num_images - len(skipped)
  reasons = "; ".join(f"{item.name}: {item.reason}" for item in skipped[:3])
  if not readable:
    return f"None of the {num_images} images can be read ({reasons})."
  return (
    f"Only {readable} of {num_images} images can be read ({reasons}), and {k} "
    "exemplars of a unit need as many: give more images or a smaller k."
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
