"""Nearest units by their regions' features, and texts by their meaning."""

import numpy as np
from jaxtyping import Float, Int

# Dimensions that features are projected to; cosines are then off by about 0.1.
WIDTH = 96
_SEED = 0
# Rows whose products with all others are in memory, and columns of a group.
_TOGETHER, _GROUP = 256, 64


class Projection:
  """A fixed random projection of features, so that those of all units fit in memory."""

  def __init__(self) -> None:
    self._matrices: dict[int, Float[np.ndarray, "features width"]] = {}

  def __call__(
    self, features: Float[np.ndarray, "features"]
  ) -> Float[np.ndarray, "width"]:
    """Returns features at `WIDTH` dimensions; zeros where one is not finite."""
    size = len(features)
    if size not in self._matrices:
      matrix = np.random.default_rng(_SEED).standard_normal((size, WIDTH), np.float32)
      self._matrices[size] = matrix / np.float32(np.sqrt(WIDTH))
    projected: np.ndarray = features.astype(np.float32) @ self._matrices[size]
    return projected if np.isfinite(projected).all() else np.zeros_like(projected)


def nearest_rows(
  vectors: Float[np.ndarray, "n width"], count: int
) -> tuple[Int[np.ndarray, "n count"], Float[np.ndarray, "n count"]]:
  """Finds the nearest other rows of each row by cosine, after subtracting the mean.

  Args:
    vectors: the rows; rows of zeros, which are unknown, are nobody's neighbors.
    count: how many to find.

  Returns:
    Their indices, nearest first, -1 where there are fewer; and their cosines.
  """
  known = np.flatnonzero(vectors.any(axis=1))
  places = np.full((len(vectors), count), -1, np.int64)
  cosines = np.zeros((len(vectors), count), np.float32)
  if len(known) < 2:
    return places, cosines
  some = vectors[known] - vectors[known].mean(axis=0)
  some /= np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)
  kept = min(count, len(known) - 1)
  for first in range(0, len(known), _TOGETHER):
    rows = np.arange(first, min(first + _TOGETHER, len(known)))
    products = some[rows] @ some.T
    products[np.arange(len(rows)), rows] = -np.inf
    best = _candidates(products, kept)
    values = np.take_along_axis(products, best, axis=1)
    # By value, then by place.
    order = np.lexsort((best, -values), axis=1)[:, :kept]
    places[known[rows], :kept] = known[np.take_along_axis(best, order, axis=1)]
    cosines[known[rows], :kept] = np.take_along_axis(values, order, axis=1)
  return places, cosines


def _candidates(
  products: Float[np.ndarray, "rows n"], count: int
) -> Int[np.ndarray, "rows some"]:
  """Returns columns that include the `count` largest of each row.

  Those are in the `count` groups of columns with the largest maxima, which are found
  ten times as fast as the columns themselves.
  """
  num_rows, num_columns = products.shape
  if num_columns <= _GROUP * (count + 1):
    return np.broadcast_to(np.arange(num_columns), products.shape)
  whole = num_columns // _GROUP * _GROUP
  maxima = products[:, :whole].reshape(num_rows, -1, _GROUP).max(axis=2)
  groups = np.argpartition(-maxima, count - 1, axis=1)[:, :count]
  inside = (groups[:, :, None] * _GROUP + np.arange(_GROUP)).reshape(num_rows, -1)
  rest = np.broadcast_to(np.arange(whole, num_columns), (num_rows, num_columns - whole))
  return np.concatenate([inside, rest], axis=1)
