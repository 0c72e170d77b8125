"""Units drawn at random from exemplar sets, each with regions to show."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Int, UInt8

from milan_jax._src.records import ExemplarSet, LayerExemplars

# Regions shown of a unit, best first, and how many it needs to be shown at all.
MOST_REGIONS = 15
FEWEST_REGIONS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class DrawnUnit:
  """A row of an exemplar set.

  Attributes:
    run: name of the exemplar set.
    layer: the layer's name.
    row: of `exemplars(layer)`.
    unit: index of the unit in its layer.
    sign: "on" for what raises the unit's activation, "off" for what lowers it.
  """

  run: str
  layer: str
  row: int
  unit: int
  sign: str


def draw_units(
  runs: Mapping[str, ExemplarSet], *, number: int | None, seed: int
) -> list[DrawnUnit]:
  """Draws units from each exemplar set, evenly over its layers.

  Dead units, and units with fewer than `FEWEST_REGIONS` regions, are passed over.

  Args:
    runs: the exemplar sets, by name.
    number: units of each set; all where None, or where it has no more.
    seed: of the draw. The units of a set do not depend on the other sets.
  """
  return [
    unit
    for name, found in runs.items()
    for unit in _drawn(name, found, number=number, seed=seed)
  ]


def _drawn(
  name: str, found: ExemplarSet, *, number: int | None, seed: int
) -> list[DrawnUnit]:
  """Takes one unit of each layer in turn until there are enough."""
  waiting = [
    _with_regions(name, found, layer, np.random.default_rng([seed, place]))
    for place, layer in enumerate(found.layers)
  ]
  drawn: list[DrawnUnit] = []
  while waiting and (number is None or len(drawn) < number):
    layer = waiting.pop(0)
    unit = next(layer, None)
    if unit is not None:
      drawn.append(unit)
      waiting.append(layer)
  return drawn


def _with_regions(
  name: str, found: ExemplarSet, layer: str, rng: np.random.Generator
) -> Iterator[DrawnUnit]:
  """A layer's units that have regions, in random order."""
  known = found.exemplars(layer)
  for row in rng.permutation(np.flatnonzero(~known.dead)).tolist():
    if len(_slots(found, known, row)) >= FEWEST_REGIONS:
      yield DrawnUnit(name, layer, row, int(known.units[row]), _sign(known, row))


def regions_of(
  found: ExemplarSet, unit: DrawnUnit
) -> tuple[UInt8[np.ndarray, "n height width 3"], Bool[np.ndarray, "n height width"]]:
  """Images and masks of a unit's regions, best first, without those of empty masks."""
  known = found.exemplars(unit.layer)
  slots = _slots(found, known, unit.row)
  masks = found.masks(unit.layer, np.full_like(slots, unit.row), slots)
  return found.images(known.image_rows[unit.row, slots]), masks


def _slots(found: ExemplarSet, known: LayerExemplars, row: int) -> Int[np.ndarray, "n"]:
  """Which of a unit's exemplars have a mask that is not empty."""
  slots = np.arange(min(int(known.num_regions[row]), MOST_REGIONS))
  masks = found.masks(known.layer, np.full_like(slots, row), slots)
  chosen: np.ndarray = slots[masks.any((1, 2))]
  return chosen


def _sign(known: LayerExemplars, row: int) -> str:
  off = getattr(known, "off", None)
  return "off" if off is not None and off[row] else "on"
