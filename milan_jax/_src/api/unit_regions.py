"""The regions of one unit, and the unit's name."""

import numpy as np
from jaxtyping import Bool, UInt8

from milan_jax._src.records import ExemplarSet, Unit, rows_of

# Ends the name of a unit that is described by what lowers it.
OFF = "-off"

Regions = tuple[
  UInt8[np.ndarray, "k height width 3"], Bool[np.ndarray, "k height width"]
]


def unit_name(unit: Unit) -> str:
  """Returns the name of a unit that `Run.unit` reads."""
  return f"{unit.layer}/{unit.index}" + (OFF if unit.sign == "off" else "")


def regions_of(found: ExemplarSet, unit: Unit, *, everything: bool = False) -> Regions:
  """Reads the images and masks of a unit's exemplars, best first.

  Args:
    found: exemplars that include the unit's.
    unit: the unit.
    everything: also those on which the unit does not fire.
  """
  (row,) = rows_of(found, [unit])[unit.layer]
  known = found.exemplars(unit.layer)
  count = None if everything else int(known.num_regions[row])
  image_rows = known.image_rows[row, :count]
  slots = np.arange(len(image_rows))
  masks = found.masks(unit.layer, np.full_like(slots, row), slots)
  return found.images(image_rows), masks
