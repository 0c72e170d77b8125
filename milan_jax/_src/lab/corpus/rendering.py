"""Renders each scene that units show once, into a store."""

import concurrent.futures
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.lab.corpus.named_units import NamedPlan
from milan_jax._src.lab.corpus.scenes import Rendered, Scene
from milan_jax._src.lab.corpus.survey import Progress
from milan_jax._src.store.region_sets import RegionSetWriter

# Maximum number of rendered pictures waiting to be written.
AHEAD = 64

Maps = Float[np.ndarray, "regions 56 56"]


def render_scenes(
  scenes: Sequence[Scene],
  plans: Sequence[NamedPlan],
  writer: RegionSetWriter,
  *,
  threads: int,
  report: Progress,
) -> dict[int, tuple[int, Maps]]:
  """Adds the picture of every scene that the units use to a store.

  Args:
    scenes: all scenes.
    plans: the units; their marks select the scenes.
    writer: writes the store.
    threads: number of threads that render.
    report: called with the stage, the scenes done and the total scenes.

  Returns:
    The row and the maps, in half precision, of each scene that is used.
  """
  used = sorted({mark.scene for plan in plans for mark in plan.marks})
  found = {}
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for number, rendered in zip(used, _ahead(pool, scenes, used), strict=True):
      row = writer.image(scenes[number].key, rendered.image)
      found[number] = row, rendered.regions.astype(np.float16)
      report("rendering scenes", len(found), len(used))
  return found


def _ahead(
  pool: concurrent.futures.Executor, scenes: Sequence[Scene], used: Sequence[int]
) -> Iterator[Rendered]:
  """Yields the rendered scenes in order and prefetches the next ones."""
  for start in range(0, len(used), AHEAD):
    some = used[start : start + AHEAD]
    yield from pool.map(lambda number: scenes[number].render(), some)
