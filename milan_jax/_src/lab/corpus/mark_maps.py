"""Where a unit of named things responds: in a thing, at a side of it, or at a place."""

import numpy as np
from jaxtyping import Float

from milan_jax._src.lab.corpus import filters
from milan_jax._src.lab.corpus.scenes import GRID

# Depth of a place in the picture, as a fraction of the picture's side.
PLACE_SIZE, CORNER_SIZE = 0.3, 0.45
# Depth of a thing's side, as a fraction of the thing's extent.
SIDE_SIZE = 0.45
# Blur that lets a thing's side include the thing's edge, in cells of its map.
EDGE = 0.8
SIDES = ("top", "bottom", "left", "right")
CORNERS = ("upper left", "upper right", "lower left", "lower right")

Cells = Float[np.ndarray, "56 56"]


def side_map(thing: Cells, side: str) -> Cells:
  """Returns a map of one side of a thing, with its edge: 1 at the end of the thing.

  Args:
    thing: the fraction of each cell that the thing fills.
    side: one of `SIDES`.
  """
  filled = np.minimum(2 * thing, 1)
  turned = {
    "top": filled,
    "bottom": filled[::-1],
    "left": filled.T,
    "right": filled[:, ::-1].T,
  }[side]
  rows = np.flatnonzero(turned.max(1) >= 0.5)
  if not len(rows):
    return np.zeros_like(thing)
  first, extent = rows[0], rows[-1] - rows[0] + 1
  down = (np.arange(len(turned), dtype=np.float32) + 0.5 - first) / extent
  near = np.clip(1 - np.maximum(down, 0) / SIDE_SIZE, 0, 1)[:, None]
  shown = filters.filtered(turned, EDGE) * near
  return np.ascontiguousarray(_at_each_side(shown)[side], np.float32)


def place_map(place: str) -> Cells:
  """Returns a map that decreases from 1 at a place in the picture to 0.

  Args:
    place: one of `SIDES` or `CORNERS`, "border", "corners", "upper corners" or "lower
      corners".
  """
  if place in SIDES or place == "border":
    sides = _sides(PLACE_SIZE)
    side: Cells = np.max(list(sides.values()), 0) if place == "border" else sides[place]
    return side
  sides = _sides(CORNER_SIZE)
  corners: dict[str, Cells] = {
    f"{one} {other}": np.minimum(sides[row], sides[other])
    for one, row in (("upper", "top"), ("lower", "bottom"))
    for other in ("left", "right")
  }
  if place in corners:
    return corners[place]
  wanted = [corners[name] for name in CORNERS if name.startswith(place.split()[0])]
  found: Cells = np.max(wanted or list(corners.values()), 0)
  return found


def _sides(size: float) -> dict[str, Cells]:
  away = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
  down = np.repeat(np.clip(1 - away / size, 0, 1)[:, None], GRID, 1)
  return _at_each_side(down)


def _at_each_side(top: Cells) -> dict[str, Cells]:
  """Returns a map of the top, turned to each of `SIDES`."""
  return {"top": top, "bottom": top[::-1], "left": top.T, "right": top.T[:, ::-1]}
