"""The second pass over the photographs: computes the maps of all measured units."""

import concurrent.futures
import pathlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.images.source import ImageSource
from milan_jax._src.lab.corpus import measures, units, views
from milan_jax._src.lab.corpus.concepts import Concept
from milan_jax._src.lab.corpus.survey import Progress, Survey
from milan_jax._src.lab.corpus.units import UnitPlan

# Units may have different grids.
UnitMaps = Float[np.ndarray, "k _ _"]


def measured_maps(
  photographs: ImageSource,
  table: Sequence[Concept],
  plans: Sequence[UnitPlan],
  found: Survey,
  work: pathlib.Path,
  *,
  threads: int,
  report: Progress,
) -> list[UnitMaps]:
  """Computes the maps of all units in a memory-mapped file.

  Args:
    photographs: the source.
    table: the concepts.
    plans: the units.
    found: the results of the first pass.
    work: folder for the file.
    threads: number of threads that measure.
    report: called with the stage, the views done and the total views.
  """
  cells = [len(plan.views) * plan.looks.grid**2 for plan in plans]
  starts = np.concatenate([[0], np.cumsum(cells)]).astype(int)
  path = work / "maps.f16"
  path.unlink(missing_ok=True)
  store = np.memmap(path, np.float16, "w+", shape=(max(int(starts[-1]), 1),))
  maps = [
    store[start:stop].reshape(len(plan.views), plan.looks.grid, plan.looks.grid)
    for plan, start, stop in zip(plans, starts[:-1], starts[1:], strict=True)
  ]
  regions = defaultdict(list)
  for unit, plan in enumerate(plans):
    for region, view in enumerate(plan.views):
      regions[view].append((unit, region))

  def one(view: int) -> None:
    shown = found.views[view]
    image = photographs.load(shown.photograph)
    grids = measures.measured(views.seen(image, shown, measures.SIZE))
    responses: dict[tuple[int, int], np.ndarray] = {}
    for unit, region in regions[view]:
      plan = plans[unit]
      key = plan.concepts[region], plan.looks.grid
      if key not in responses:
        responses[key] = (
          table[key[0]].response(grids[key[1]])
          if key[0] >= 0
          else np.zeros((key[1], key[1]), np.float32)
        )
      maps[unit][region] = units.unit_map(
        responses[key], plan.looks, region, shown=key[0] >= 0
      )

  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for done, _ in enumerate(pool.map(one, sorted(regions)), 1):
      report("making maps", done, len(regions))
  return maps
