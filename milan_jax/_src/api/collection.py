"""The pass over the images of one run, by one process or by several: their exemplars.

```
exemplars.partial/0-of-1.npz        the pass so far, of one process
exemplars.partial/1-of-4.npz        of the second of four, which see every fourth each
exemplars.partial/1-of-4.over.npz   the same, when it has seen all of its images
exemplars/                          the finished store
```

The processes of a run write into one folder, which all of them can reach. Each sees its
own shard of the images; the primary process merges all shards, writes the store and
removes the shards' files. How many there were leaves no trace in the store.
"""

import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Bool

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import shards
from milan_jax._src.exemplars.accumulation import (
  CollectHooks,
  CollectOptions,
  accumulate,
)
from milan_jax._src.exemplars.shards import Progress, Shard, Times
from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.exemplars.tails import Tail
from milan_jax._src.exemplars.top_images import NO_IMAGE
from milan_jax._src.images.loader import default_workers
from milan_jax._src.images.source import ImageSource
from milan_jax._src.options.describe import ExemplarOptions
from milan_jax._src.probe.probe_target import ProbeTarget
from milan_jax._src.runs.processes import is_primary, wait_until
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.workdir import EXEMPLARS, PARTIAL
from milan_jax._src.store.exemplar_snapshots import load_progress, save_progress
from milan_jax._src.store.exemplar_store import write_exemplars


def find_exemplars(
  target: ProbeTarget,
  folder: pathlib.Path,
  *,
  units: Mapping[str, np.ndarray],
  how: ExemplarOptions,
  job: Mapping[str, Any],
) -> pathlib.Path:
  """Runs the pass, unless its store is already there, and writes the store.

  Args:
    target: the model and its inputs.
    folder: the run directory.
    units: the units of each layer to keep.
    how: exemplars per unit, quantile, batch size, workers, saves.
    job: what the result depends on: only the same job goes on.

  Returns:
    The store.

  Raises:
    UserError: as `accumulate`; or if another number of processes began the pass.
  """
  store, shard = folder / EXEMPLARS, own_shard()
  if not store.exists():
    files = _Files(folder, shard)
    files.check_others()
    if not files.over.exists():
      _accumulate(target, files, units, how, job, shard)
    if is_primary():
      progress = _load(files.over, job)
      groups = shards.groups_of(target.inputs, how.k)
      progress = shards.merge(itertools.chain([progress], _others(files, job)), groups)
      _write(progress, store, target.images, units, how, job)
  if is_primary():
    _Files(folder, shard).remove()
  else:
    wait_until(store.exists)
  return store


class _Files:
  """Where the passes of a run keep how far they are.

  Attributes:
    partial: the part of this process.
    over: the same, once it has seen all of its images.
  """

  def __init__(self, folder: pathlib.Path, shard: Shard):
    self._shard = shard
    self._folder = folder / PARTIAL
    self.partial = self._of(shard.index, "npz")
    self.over = self._of(shard.index, "over.npz")

  def _of(self, index: int, suffix: str) -> pathlib.Path:
    return self._folder / f"{index}-of-{self._shard.count}.{suffix}"

  def others(self) -> list[pathlib.Path]:
    """What the other processes will have found."""
    mine = self._shard.index
    return [
      self._of(index, "over.npz") for index in range(self._shard.count) if index != mine
    ]

  def check_others(self) -> None:
    """Raises UserError if another number of processes began the pass."""
    ours = f"*-of-{self._shard.count}.*"
    found = [path for path in self._folder.glob("*.npz") if not path.match(ours)]
    if found:
      raise UserError(
        f"{found[0]} belongs to a run with another number of processes than "
        f"{self._shard.count}: resume with that number, or remove it to start again."
      )

  def remove(self) -> None:
    """Removes them all."""
    shutil.rmtree(self._folder, ignore_errors=True)


def _accumulate(
  target: ProbeTarget,
  files: _Files,
  units: Mapping[str, np.ndarray],
  how: ExemplarOptions,
  job: Mapping[str, Any],
  shard: Shard,
) -> None:
  """Sees this process's images, and keeps what was found before anything else."""
  times = Times()
  with bar("exemplars", "images") as show:
    progress = accumulate(
      target.network.probe,
      target.inputs,
      tuple(units),
      CollectOptions(
        k=how.k,
        quantile=how.quantile,
        tail=_tail(how),
        batch_size=how.batch_size,
        workers=default_workers(target.inputs) if how.workers < 0 else how.workers,
      ),
      units=units,
      shard=shard,
      resume=load_progress(files.partial, job),
      hooks=CollectHooks(
        save=lambda found: save_progress(files.partial, found, job),
        save_every=how.save_every,
        report=lambda done, total, rate: show(done, total),
      ),
      times=times,
    )
  save_progress(files.over, progress, job)
  files.partial.unlink(missing_ok=True)
  _tell(times, shard.num_images(len(target.inputs), how.batch_size))


def _others(files: _Files, job: Mapping[str, Any]) -> Iterator[Progress]:
  for path in files.others():
    wait_until(path.exists)
    yield _load(path, job)


def _load(path: pathlib.Path, job: Mapping[str, Any]) -> Progress:
  progress = load_progress(path, job)
  if progress is None:
    raise UserError(f"{path} is gone: start again.")
  return progress


def _write(
  progress: Progress,
  store: pathlib.Path,
  images: ImageSource,
  units: Mapping[str, np.ndarray],
  how: ExemplarOptions,
  job: Mapping[str, Any],
) -> None:
  skipped = progress.skipped
  for item in skipped:
    say(f"skipped {item.name}: {item.reason}")
  found = shards.finish(progress, k=how.k, num_images=len(images), tail=_tail(how))
  for layer, statistics in found.items():
    _report(layer, statistics, _tail(how))
  found = _with_images(found)
  info = {
    **job,
    "num_images": len(images),
    "skipped": [[item.name, item.reason] for item in skipped],
  }
  write_exemplars(store, found, images, units=units, info=info)


def _with_images(found: Mapping[str, LayerStatistics]) -> dict[str, LayerStatistics]:
  """Layers without a finite activation, which are dead, show another layer's image."""
  first = min(int(statistics.image_ids.min()) for statistics in found.values())
  if first == NO_IMAGE:
    raise UserError(
      f"{', '.join(found)}: every unit is NaN or infinite on every image; expected "
      "finite activations. Check the model's weights, and how its images are "
      "prepared (--mean, --std)."
    )
  return {
    layer: dataclasses.replace(
      statistics,
      image_ids=np.where(statistics.image_ids == NO_IMAGE, first, statistics.image_ids),
    )
    for layer, statistics in found.items()
  }


def _report(layer: str, found: LayerStatistics, tail: Tail) -> None:
  """Prints how many of a layer's units are unusual, and how."""
  rare, k = _rare(found), found.image_ids.shape[1]
  odd = {
    "dead (they never vary, or on too few images)": found.dead,
    "with NaN or infinite activations": found.num_bad_maps > 0,
    "whose last exemplar ties with other images": (found.num_ties > 0)
    & ~(found.dead | rare),
    f"that fire on fewer than {k} images": rare,
  }
  if tail == "auto" and found.off is not None:
    odd["that rest at their maximum, shown by what lowers them"] = found.off
  kind = "tails" if tail == "both" else "units"
  for what, which in odd.items():
    if which.any():
      say(f"{layer}: {which.sum()} of {len(which)} {kind} {what}")


def _rare(found: LayerStatistics) -> Bool[np.ndarray, "units"]:
  if found.num_firing is None:
    return np.zeros(len(found.dead), bool)
  k = found.image_ids.shape[1]
  rare: np.ndarray = (found.num_firing > 0) & (found.num_firing < k)
  return rare


def _tail(how: ExemplarOptions) -> Tail:
  return cast(Tail, how.tail or "auto")


def _tell(times: Times, num_images: int) -> None:
  say(
    f"one pass over {num_images} images: model {times.model:.1f} s, waiting for images "
    f"{times.decoding:.1f} s, for statistics {times.statistics:.1f} s (CPU time "
    f"{times.statistics_cpu:.1f} s), saving {times.writing:.1f} s"
  )


def own_shard() -> Shard:
  """The part of the images that this process sees."""
  return Shard(jax.process_index(), jax.process_count())
