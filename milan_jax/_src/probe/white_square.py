"""Where a layer sees a white square: whether its positions are those of the picture.

A gray picture is shown, and the same with a white square at several positions. What a
square changes in a layer must lie where the square is.
"""

import dataclasses
import enum
import functools

import numpy as np
from jaxtyping import Float, UInt8

_GRAY, _WHITE = 128, 255
# Squares are an eighth of the picture wide. Rows and columns in eighths, so that no two
# lie at the same position of a map of 4 x 4, and all quarters have some.
_EIGHTHS = ((1, 3), (3, 6), (4, 1), (6, 4), (1, 6), (6, 1))
NUM_SQUARES = len(_EIGHTHS)
# In a map of fewer positions nothing is far from a square.
_FEWEST = 36
# A change of less than this share of a unit's largest value may be rounding.
_ROUNDING = 1e-4


class Order(enum.Enum):
  """What the squares show of the order of a layer's positions."""

  FOLLOWS = "follows"
  ELSEWHERE = "elsewhere"
  UNCLEAR = "unclear"


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
  """Where a layer sees the squares.

  Attributes:
    order: whether that is where they are.
    share: of the change, how much lies in the positions that the squares cover.
    sharp: whether most of the change lies in a few positions.
    late: by how many positions, in the order of rows, the map must be moved on so that
      most of the change lies there.
  """

  order: Order
  share: float
  sharp: bool
  late: int = 0


def pictures(
  height: int, width: int, channels: int = 3
) -> UInt8[np.ndarray, "shown height width channels"]:
  """A gray picture, and the same with a white square at each position.

  Args:
    height: of the pictures, in pixels.
    width: the same.
    channels: colors of a pixel.
  """
  shown = np.full((1 + NUM_SQUARES, height, width, channels), _GRAY, np.uint8)
  for number, (row, column) in enumerate(_EIGHTHS, 1):
    rows = slice(row * height // 8, max((row + 1) * height // 8, row * height // 8 + 1))
    columns = slice(
      column * width // 8, max((column + 1) * width // 8, column * width // 8 + 1)
    )
    shown[number, rows, columns] = _WHITE
  return shown


def sight(
  activations: Float[np.ndarray, "shown height width units"],
  *,
  latest: int = 0,
  exact: bool = False,
) -> Sight:
  """Where a layer sees the squares of `pictures`.

  Args:
    activations: of the layer, for the gray picture and those with a square.
    latest: the most positions that the order of rows may be late by.
    exact: whether a position sees nothing of its neighbors, as a patch does: if as much
      is changed as a square covers, and not there, that is elsewhere however near.
  """
  change = _change(activations)
  _, height, width = change.shape
  if height * width < 2 or not change.any(axis=(1, 2)).all():
    return Sight(Order.UNCLEAR, 0.0, sharp=False)
  covered, near = _squares(height, width)
  # What a square changes everywhere shows nothing about positions.
  above = np.maximum(change - np.median(change, axis=(1, 2), keepdims=True), 0)
  total = above.sum((1, 2)) + 1e-30
  inside = (above * near).sum((1, 2)) / total
  densest = _densest(above, near) / total
  sharp = (densest > 0.8) & (near.sum((1, 2)) <= 0.3 * height * width)
  elsewhere = (sharp & (inside < 0.35)).sum() >= NUM_SQUARES - 1
  if exact:
    # In a wrong order too, some squares are where they are by accident.
    there = (above * (covered > 0)).sum((1, 2)) / total
    found = _densest(above, covered > 0) / total > 0.9
    elsewhere |= (found & (there < 0.35)).sum() >= NUM_SQUARES / 2
  enough = NUM_SQUARES - 1
  is_sharp = sharp.sum() >= enough
  order = Order.UNCLEAR
  if height * width >= _FEWEST and elsewhere and _moves(above):
    order = Order.ELSEWHERE
  elif _matches(change, near) >= enough and not (is_sharp and (inside < 0.5).sum() > 1):
    order = Order.FOLLOWS
  shares = _shares(above / total[:, None, None], covered > 0, latest)
  late = int(np.argmax(shares))
  if shares[late] < shares[0] + 0.15:
    late = 0
  return Sight(order, float(shares[0]), sharp=bool(is_sharp), late=late)


@functools.lru_cache(maxsize=64)
def _squares(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """What the squares cover of a map, and which positions are near them."""
  covered = np.stack([_covered(height, width, at) for at in _EIGHTHS])
  return covered, np.stack([_widened(one) for one in covered > 0])


def _change(
  activations: Float[np.ndarray, "shown height width units"],
) -> Float[np.ndarray, "squares height width"]:
  """How much each square changes each position, every unit counted alike."""
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


def _densest(above: np.ndarray, positions: np.ndarray) -> np.ndarray:
  """How much of the change lies in as many positions as these, wherever they are."""
  flat = np.sort(above.reshape(len(above), -1))[:, ::-1]
  sizes = positions.sum((1, 2))
  return np.array([row[:size].sum() for row, size in zip(flat, sizes, strict=True)])


def _covered(
  height: int, width: int, at: tuple[int, int]
) -> Float[np.ndarray, "height width"]:
  """The share of each position that a square covers, or that covers the square."""
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


def _widened(covered: np.ndarray) -> np.ndarray:
  """Adds the positions around, a twelfth of the map: neighbors see a square too."""
  for axis in (0, 1):
    reach = round(covered.shape[axis] / 12 + 0.01)
    steps = range(-reach, reach + 1)
    covered = np.logical_or.reduce([_moved(covered, step, axis) for step in steps])
  return covered


def _moved(array: np.ndarray, step: int, axis: int) -> np.ndarray:
  moved = np.roll(array, step, axis)
  index = [slice(None)] * array.ndim
  index[axis] = slice(0, step) if step >= 0 else slice(step, None)
  moved[tuple(index)] = 0
  return moved


def _matches(change: np.ndarray, near: np.ndarray) -> int:
  """How many squares are seen best where they are, among all of their positions."""
  seen = np.einsum("phw,qhw->pq", change, near.astype(float)) / near.sum((1, 2))
  logs = np.log(seen + 1e-6 * seen.max() + 1e-30)
  # Some squares change more than others, and some positions are changed by all.
  own = logs - logs.mean(1, keepdims=True)
  own = own - own.mean(0, keepdims=True)
  best = own.max(1)
  # A position that no square in particular changes does not match.
  return int(((np.diag(own) >= best - 1e-9) & (best > 1e-3)).sum())


def _moves(above: np.ndarray) -> bool:
  """Whether squares at other positions change other positions."""
  flat = above.reshape(len(above), -1)
  unit = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-30)
  alike = unit @ unit.T
  return float(np.triu(alike, 1).sum()) < 0.5 * len(flat) * (len(flat) - 1) / 2


def _shares(above: np.ndarray, covered: np.ndarray, latest: int) -> list[float]:
  """How much of the change lies in the squares, if the order of rows is late by n."""
  shape = above.shape
  flat = above.reshape(shape[0], -1)
  shares = []
  for late in range(min(latest, flat.shape[1] - 1) + 1):
    moved = np.zeros_like(flat)
    moved[:, late:] = flat[:, : flat.shape[1] - late]
    shares.append(float((moved.reshape(shape) * covered).sum((1, 2)).mean()))
  return shares
