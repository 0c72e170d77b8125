"""Draws random units from exemplar sets, with the regions to show."""

import dataclasses
from collections.abc import Container, Iterable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.records import ExemplarSet, LayerExemplars

# Maximum number of regions shown of a unit, and minimum for a unit to be drawn.
MOST_REGIONS = 15
FEWEST_REGIONS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class DrawnUnit:
  """A drawn unit of an exemplar set.

  Attributes:
    run: name of the exemplar set.
    layer: the layer's name.
    row: index of its row in `exemplars(layer)`.
    unit: index of the unit in its layer.
    sign: "on" for what raises the unit's activation, "off" for what lowers it.
  """

  run: str
  layer: str
  row: int
  unit: int
  sign: str


def draw_units(
  runs: Mapping[str, ExemplarSet],
  *,
  number: int | None,
  off_share: float | None = None,
  seed: int,
  skip: Container[tuple[str, str, int, str]] = (),
) -> list[DrawnUnit]:
  """Draws units from each exemplar set, evenly over its layers.

  Dead units, and units with fewer than `FEWEST_REGIONS` regions, are skipped.

  Args:
    runs: the exemplar sets, by name.
    number: number of units to draw from each set; None for all. A set with fewer units
      gives all of them.
    off_share: the fraction of drawn units with sign "off", if there are enough of them;
      None to ignore signs.
    seed: seed of the draw. The units of a set do not depend on the other sets.
    skip: units to leave out: set, layer, unit and sign.

  Raises:
    UserError: if `off_share` is not between 0 and 1, or is given without `number`.
  """
  if off_share is not None and (number is None or not 0 <= off_share <= 1):
    raise UserError(
      f"--off_share={off_share}: expected a fraction from 0 to 1, with --num_units."
    )
  drawn: list[DrawnUnit] = []
  for name, found in runs.items():
    if off_share is None or number is None:
      drawn += _drawn(name, found, number, seed, skip)
      continue
    off = _drawn(name, found, round(off_share * number), seed, skip, sign="off")
    drawn += off + _drawn(name, found, number - len(off), seed, skip, sign="on")
  return drawn


def _drawn(
  name: str,
  found: ExemplarSet,
  number: int | None,
  seed: int,
  skip: Container[tuple[str, str, int, str]],
  *,
  sign: str | None = None,
) -> list[DrawnUnit]:
  layers = (
    units_with_regions(name, found, layer, np.random.default_rng([seed, place]), sign)
    for place, layer in enumerate(found.layers)
  )
  return take_in_turn(
    (
      (unit for unit in units if (name, unit.layer, unit.unit, unit.sign) not in skip)
      for units in layers
    ),
    number,
  )


def take_in_turn(
  layers: Iterable[Iterator[DrawnUnit]], number: int | None
) -> list[DrawnUnit]:
  """Takes one unit of each layer in turn until there are enough; None takes all."""
  waiting = list(layers)
  drawn: list[DrawnUnit] = []
  while waiting and (number is None or len(drawn) < number):
    layer = waiting.pop(0)
    unit = next(layer, None)
    if unit is not None:
      drawn.append(unit)
      waiting.append(layer)
  return drawn


def units_with_regions(
  name: str,
  found: ExemplarSet,
  layer: str,
  rng: np.random.Generator,
  sign: str | None = None,
) -> Iterator[DrawnUnit]:
  """Yields a layer's units with `FEWEST_REGIONS` or more regions, in random order.

  Args:
    name: name of the exemplar set.
    found: the exemplar set.
    layer: the layer's name.
    rng: random generator for the order.
    sign: sign of the units; None for both.
  """
  known = found.exemplars(layer)
  units = known.signed_units()
  for row in rng.permutation(np.flatnonzero(~known.dead)).tolist():
    unit = units[row]
    if sign not in (None, unit.sign):
      continue
    if _masks(found, known, row).any((1, 2)).sum() >= FEWEST_REGIONS:
      yield DrawnUnit(name, layer, row, unit.index, unit.sign)


def regions_of(
  found: ExemplarSet, unit: DrawnUnit
) -> tuple[UInt8[np.ndarray, "n height width 3"], Bool[np.ndarray, "n height width"]]:
  """Returns images and masks of a unit's regions with nonempty masks, best first."""
  known = found.exemplars(unit.layer)
  masks = _masks(found, known, unit.row)
  slots = np.flatnonzero(masks.any((1, 2)))
  return found.images(known.image_rows[unit.row, slots]), masks[slots]


def _masks(
  found: ExemplarSet, known: LayerExemplars, row: int
) -> Bool[np.ndarray, "n height width"]:
  """Returns the masks of a unit's exemplars that count, including empty ones."""
  slots = np.arange(min(int(known.num_regions[row]), MOST_REGIONS))
  return found.masks(known.layer, np.full_like(slots, row), slots)
