"""The progress of a pass over the images, or over one shard of them."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import stats, tails
from milan_jax._src.exemplars.tails import Tail
from milan_jax._src.exemplars.top_images import Groups
from milan_jax._src.images.source import GroupedSource, Skipped, Source
from milan_jax._src.records import LayerShape


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
  """The images of one process: every `count`-th batch, starting with batch `index`.

  A batch is the set of images that one device processes at once.
  """

  index: int = 0
  count: int = 1

  def batch_indices(self, num_images: int, batch_size: int) -> range:
    """Returns the indices of the shard's batches, in ascending order."""
    return range(self.index, -(-num_images // batch_size), self.count)

  def num_images(self, num_images: int, batch_size: int) -> int:
    """Returns the number of images in the shard."""
    return sum(
      min(batch_size, num_images - index * batch_size)
      for index in self.batch_indices(num_images, batch_size)
    )


WHOLE = Shard()


class TooFewImagesError(UserError):
  """There are fewer readable images than exemplars per unit."""


def check_enough(num_images: int, k: int) -> None:
  """Raises `UserError` if there are fewer images than exemplars per unit."""
  if num_images < k:
    raise UserError(
      f"{k} exemplars of a unit (--k) need at least {k} images, and there are "
      f"{num_images}: give more images or a smaller k."
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
  """The progress of a pass, from which it can be resumed.

  Attributes:
    done: number of completed batches.
    states: statistics of each layer so far, in the given order of the layers.
    skipped: images so far that could not be read.
  """

  done: int
  states: dict[str, stats.LayerState]
  skipped: tuple[Skipped, ...]


@dataclasses.dataclass(slots=True)
class Times:
  """Durations of the steps of a pass, in seconds.

  Decoding and statistics run in parallel to the model, so `decoding` and `statistics`
  are the time spent waiting for them.

  Attributes:
    model: time in the model, until its activations are available.
    decoding: time waiting for images.
    statistics: time waiting for statistics.
    writing: time for saving the progress.
    statistics_cpu: processor time of the statistics, in all threads.
    forward_passes: number of batches that the model has processed.
  """

  model: float = 0.0
  decoding: float = 0.0
  statistics: float = 0.0
  writing: float = 0.0
  statistics_cpu: float = 0.0
  forward_passes: int = 0


def start(
  shapes: Sequence[LayerShape],
  *,
  units: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  k: int,
  quantile: float,
  num_images: int,
  tail: Tail = "upper",
  distribution: bool = True,
) -> Progress:
  """Returns the progress before the first image; `units` as for `accumulate`."""
  numbers = {name: len(chosen) for name, chosen in (units or {}).items()}
  return Progress(
    done=0,
    states={
      shape.name: stats.start(
        shape,
        k=k,
        quantile=quantile,
        num_images=num_images,
        units=numbers.get(shape.name),
        lower=tail != "upper",
        distribution=distribution,
      )
      for shape in shapes
    },
    skipped=(),
  )


def groups_of(source: Source, k: int) -> Groups | None:
  """Returns the groups of a source's images; None if it has no groups.

  Raises:
    UserError: if `groups` is not a method, or the groups are not one nonnegative
      integer per image.
  """
  if not isinstance(source, GroupedSource):
    return None
  if not callable(source.groups):
    raise UserError(
      f"{type(source).__name__}.groups: expected a method that returns the group of "
      "each image; found an attribute."
    )
  groups = np.asarray(source.groups())
  whole = np.issubdtype(groups.dtype, np.integer)
  if groups.shape != (len(source),) or not whole or (groups < 0).any():
    raise UserError(
      f"{type(source).__name__}.groups(): expected a whole number from 0 for each of "
      f"{len(source)} images; found {groups.dtype} of shape {groups.shape}."
    )
  return Groups.of(groups, k)


def merge(shards: Iterable[Progress], groups: Groups | None = None) -> Progress:
  """Merges the progress of all shards; all are donated."""
  return functools.reduce(lambda a, b: _merge_two(a, b, groups), shards)


def _merge_two(a: Progress, b: Progress, groups: Groups | None) -> Progress:
  merged = {
    name: stats.merge(found, b.states[name], groups=groups)
    for name, found in a.states.items()
  }
  return Progress(
    done=a.done + b.done,
    states=merged,
    skipped=tuple(sorted(a.skipped + b.skipped, key=lambda item: item.image_id)),
  )


def finish(
  progress: Progress, *, k: int, num_images: int, tail: Tail = "upper"
) -> dict[str, stats.LayerStatistics]:
  """Returns the statistics of each layer after the whole pass; donates `progress`.

  Raises:
    TooFewImagesError: if fewer than `k` images could be read.
  """
  if num_images - len(progress.skipped) < k:
    raise TooFewImagesError(_too_few(num_images, progress.skipped, k))
  states = progress.states
  # Popped one by one, so that at most one layer is in memory twice.
  return {name: tails.finish(states.pop(name), tail) for name in tuple(states)}


def _too_few(num_images: int, skipped: tuple[Skipped, ...], k: int) -> str:
  readable = num_images - len(skipped)
  reasons = "; ".join(f"{item.name}: {item.reason}" for item in skipped[:3])
  if not readable:
    return f"None of the {num_images} images can be read ({reasons})."
  return (
    f"Only {readable} of {num_images} images can be read ({reasons}), and {k} "
    "exemplars of a unit need as many: give more images or a smaller k."
  )
