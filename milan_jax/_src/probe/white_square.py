"""Locates white squares in a layer, to check that its positions are the picture's.

The model runs on a gray picture, and on the same picture with a white square at several
positions. The change that a square causes in a layer must be at its position.
"""

import dataclasses
import enum
import functools

import numpy as np
from jaxtyping import Float, UInt8

_GRAY, _WHITE = 128, 255
# A square's side is an eighth of the picture's. Rows and columns of the squares, in
# eighths: no two are at the same position of a 4 x 4 map, and every quarter has at
# least one.
_EIGHTHS = ((1, 3), (3, 6), (4, 1), (6, 4), (1, 6), (6, 1))
NUM_SQUARES = len(_EIGHTHS)
# In a map of fewer positions, every position is close to a square.
_MIN_POSITIONS = 36
# A change below this fraction of a unit's largest value may be rounding.
_ROUNDING = 1e-4


class Order(enum.Enum):
  """What the squares show about the order of a layer's positions."""

  FOLLOWS = "follows"
  ELSEWHERE = "elsewhere"
  UNCLEAR = "unclear"


@dataclasses.dataclass(frozen=True, slots=True)
class SquareLocation:
  """Where the squares appear in a layer.

  Attributes:
    order: whether they appear in place.
    share: fraction of the change in the positions that the squares cover.
    sharp: whether most of the change is in a few positions.
    shift_by: number of positions, in row-major order, by which the map must be shifted
      forward to put most of the change in place.
  """

  order: Order
  share: float
  sharp: bool
  shift_by: int = 0


def pictures(
  height: int, width: int, channels: int = 3
) -> UInt8[np.ndarray, "shown height width channels"]:
  """A gray picture, and the same with a white square at each position.

  Args:
    height: height of the pictures, in pixels.
    width: width of the pictures, in pixels.
    channels: number of channels.
  """
  shown = np.full((1 + NUM_SQUARES, height, width, channels), _GRAY, np.uint8)
  for number, (row, column) in enumerate(_EIGHTHS, 1):
    rows = slice(row * height // 8, max((row + 1) * height // 8, row * height // 8 + 1))
    columns = slice(
      column * width // 8, max((column + 1) * width // 8, column * width // 8 + 1)
    )
    shown[number, rows, columns] = _WHITE
  return shown


def locate_squares(
  activations: Float[np.ndarray, "shown height width units"],
  *,
  max_shift: int = 0,
  exact: bool = False,
) -> SquareLocation:
  """Locates the squares of `pictures` in a layer.

  Args:
    activations: the layer's, for the gray picture and those with a square.
    max_shift: maximum shift in row-major order to try.
    exact: whether a position does not see its neighbors, as for patches: then a change
      of a square's size in another position counts as elsewhere, even if it is close.
  """
  change = _change(activations)
  _, height, width = change.shape
  if height * width < 2 or not change.any(axis=(1, 2)).all():
    return SquareLocation(Order.UNCLEAR, 0.0, sharp=False)
  covered, near = _squares(height, width)
  # A change in all positions carries no information about positions.
  above = np.maximum(change - np.median(change, axis=(1, 2), keepdims=True), 0)
  total = above.sum((1, 2)) + 1e-30
  inside = (above * near).sum((1, 2)) / total
  densest = _largest_sum(above, near) / total
  sharp = (densest > 0.8) & (near.sum((1, 2)) <= 0.3 * height * width)
  elsewhere = (sharp & (inside < 0.35)).sum() >= NUM_SQUARES - 1
  if exact:
    # In a wrong order, too, some squares are in place by accident.
    there = (above * (covered > 0)).sum((1, 2)) / total
    found = _largest_sum(above, covered > 0) / total > 0.9
    elsewhere |= (found & (there < 0.35)).sum() >= NUM_SQUARES / 2
  enough = NUM_SQUARES - 1
  is_sharp = sharp.sum() >= enough
  order = Order.UNCLEAR
  if height * width >= _MIN_POSITIONS and elsewhere and _moves(above):
    order = Order.ELSEWHERE
  elif _matches(change, near) >= enough and not (is_sharp and (inside < 0.5).sum() > 1):
    order = Order.FOLLOWS
  shares = _shares(above / total[:, None, None], covered > 0, max_shift)
  shift_by = int(np.argmax(shares))
  if shares[shift_by] < shares[0] + 0.15:
    shift_by = 0
  return SquareLocation(
    order, float(shares[0]), sharp=bool(is_sharp), shift_by=shift_by
  )


@functools.lru_cache(maxsize=64)
def _squares(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Coverage of a map's positions by each square, and which positions are near it."""
  covered = np.stack([_covered(height, width, at) for at in _EIGHTHS])
  return covered, np.stack([_dilated(one) for one in covered > 0])


def _change(
  activations: Float[np.ndarray, "shown height width units"],
) -> Float[np.ndarray, "squares height width"]:
  """How much each square changes each position, with equal weight for every unit."""
  values = np.nan_to_num(np.asarray(activations, np.float32), posinf=0, neginf=0)
  change = np.abs(values[1:] - values[:1])
  largest_change = change.max((0, 1, 2))
  largest = np.abs(values).max((0, 1, 2))
  seeing = largest_change > _ROUNDING * largest
  scale = np.where(seeing, largest_change, 1)
  moved: np.ndarray = np.einsum("shwu,u->shw", change, seeing / scale).astype(
    np.float64
  )
  return moved


def _largest_sum(above: np.ndarray, positions: np.ndarray) -> np.ndarray:
  """The largest total change in any equally large set of positions."""
  flat = np.sort(above.reshape(len(above), -1))[:, ::-1]
  sizes = positions.sum((1, 2))
  return np.array([row[:size].sum() for row, size in zip(flat, sizes, strict=True)])


def _covered(
  height: int, width: int, at: tuple[int, int]
) -> Float[np.ndarray, "height width"]:
  """The fraction of each position covered by a square, or of a square by a position."""
  sides = []
  for length, first in zip((height, width), at, strict=True):
    low, high = first * length / 8, (first + 1) * length / 8
    positions = np.arange(length)
    overlap = np.clip(
      np.minimum(positions + 1, high) - np.maximum(positions, low), 0, None
    )
    share = overlap / min(1.0, high - low)
    sides.append(np.where(share >= 0.25, share, 0))
  return sides[0][:, None] * sides[1][None]


def _dilated(covered: np.ndarray) -> np.ndarray:
  """Dilates by a twelfth of the map: neighboring positions see a square, too."""
  for axis in (0, 1):
    reach = round(covered.shape[axis] / 12 + 0.01)
    steps = range(-reach, reach + 1)
    covered = np.logical_or.reduce([_shifted(covered, step, axis) for step in steps])
  return covered


def _shifted(array: np.ndarray, step: int, axis: int) -> np.ndarray:
  moved = np.roll(array, step, axis)
  index = [slice(None)] * array.ndim
  index[axis] = slice(0, step) if step >= 0 else slice(step, None)
  moved[tuple(index)] = 0
  return moved


def _matches(change: np.ndarray, near: np.ndarray) -> int:
  """Number of squares whose strongest response is at their own position."""
  seen = np.einsum("phw,qhw->pq", change, near.astype(float)) / near.sum((1, 2))
  logs = np.log(seen + 1e-6 * seen.max() + 1e-30)
  # Normalize for squares that change more, and for positions that all squares change.
  own = logs - logs.mean(1, keepdims=True)
  own = own - own.mean(0, keepdims=True)
  best = own.max(1)
  # A position that responds equally to all squares does not match.
  return int(((np.diag(own) >= best - 1e-9) & (best > 1e-3)).sum())


def _moves(above: np.ndarray) -> bool:
  """Whether different squares change different positions."""
  flat = above.reshape(len(above), -1)
  unit = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-30)
  alike = unit @ unit.T
  return float(np.triu(alike, 1).sum()) < 0.5 * len(flat) * (len(flat) - 1) / 2


def _shares(above: np.ndarray, covered: np.ndarray, max_shift: int) -> list[float]:
  """Fraction of the change in the squares, for each shift in row-major order."""
  shape = above.shape
  flat = above.reshape(shape[0], -1)
  shares = []
  for shift_by in range(min(max_shift, flat.shape[1] - 1) + 1):
    moved = np.zeros_like(flat)
    moved[:, shift_by:] = flat[:, : flat.shape[1] - shift_by]
    shares.append(float((moved.reshape(shape) * covered).sum((1, 2)).mean()))
  return shares
