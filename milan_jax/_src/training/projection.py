"""Fits the projection that normalizes features, without labels."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError
from milan_jax._src.models.encoder import Projection

# Components with less than this fraction of their level's largest variance are noise.
NOISE = 1e-4
# Minimum standard deviation of a feature, as a fraction of its level's median.
QUIET = 0.05


def component_sizes(projection: str, channels: Sequence[int]) -> list[int]:
  """Parses the number of components per level; empty for no projection."""
  if not projection:
    return []
  words = projection.split(",")
  sizes = [int(word) if word.strip().isdecimal() else 0 for word in words]
  fits = len(sizes) == len(channels) and all(
    1 <= size <= number for size, number in zip(sizes, channels, strict=False)
  )
  if not fits:
    count = f"; found {len(sizes)}" if len(sizes) != len(channels) else ""
    raise UserError(
      f"--projection={projection}: expected {len(channels)} comma-separated whole "
      f"numbers, one for each encoder layer (and one for the geometry, with "
      f"--pooling=placed), from 1 to at most {','.join(map(str, channels))}{count}."
    )
  return sizes


def fit_projection(
  batches: Iterable[Float[np.ndarray, "_ k features"]],
  channels: Sequence[int],
  sizes: Sequence[int],
  *,
  whitening: float,
) -> Projection:
  """Fits principal components of each level of the pyramid, with a common scale.

  Each feature is standardized, unless it hardly varies. Each level is then projected to
  its first `sizes` principal components, divided by their standard deviation to the
  power `whitening`.

  Args:
    batches: features of the units to fit on, read once.
    channels: number of features per level.
    sizes: number of components to keep per level.
    whitening: 0 keeps the components' scale, 1 makes all standard deviations 1.
  """
  total = np.zeros(sum(channels))
  second = np.zeros((sum(channels),) * 2)
  count = 0
  for batch in batches:
    rows = batch.reshape(-1, batch.shape[-1]).astype(np.float64)
    total += rows.sum(0)
    second += rows.T @ rows
    count += len(rows)
  mean = total / count
  covariance = second / count - np.outer(mean, mean)
  deviations = np.sqrt(np.maximum(np.diag(covariance), 0))
  kernel = np.zeros((len(mean), sum(sizes)), np.float64)
  begin = place = 0
  for number, size in zip(channels, sizes, strict=True):
    level = slice(begin, begin + number)
    # Standardizing a nearly constant feature would amplify it, even beyond float16.
    scale = np.maximum(deviations[level], _quiet(deviations[level], mean[level]))
    correlation = covariance[level, level] / np.outer(scale, scale)
    variances, axes = np.linalg.eigh(correlation)
    variances, axes = variances[::-1][:size], axes[:, ::-1][:, :size]
    # The sign of an axis is arbitrary, so its largest entry is made positive.
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(size)])
    kept = np.maximum(variances, NOISE * max(variances[0], 1.0))
    kernel[level, place : place + size] = (
      axes * signs / kept ** (whitening / 2) / scale[:, None]
    )
    begin, place = begin + number, place + size
  return Projection(mean.astype(np.float32), kernel.astype(np.float32))


def _quiet(
  deviations: Float[np.ndarray, "features"], means: Float[np.ndarray, "features"]
) -> float:
  """Returns the minimum standard deviation for a level's features; 1 if none varies."""
  rounding = 1e-6 * max(deviations.max(), np.abs(means).max())
  for typical in (np.median(deviations), deviations.max()):
    if QUIET * typical > rounding:
      return QUIET * float(typical)
  return 1.0
