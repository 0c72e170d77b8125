"""Order statistics: the two values beside a quantile, and what bounds them from below.

Ranks are counted from the top: the largest value has rank 1.

References:
  Hyndman and Fan 1996, "Sample quantiles in statistical packages", definition 5, which
  is Hazen's and numpy's `method="hazen"`.
"""

import numpy as np
from jaxtyping import Float, Int

# Values processed together: they stay in the processor's cache.
BLOCK = 1 << 18
_SAMPLE = 1024  # values of a unit from which its first floor is estimated
_MARGIN = 1.3  # factor by which the estimate aims above the values needed


def hazen_ranks(
  num_values: Int[np.ndarray, "units"], quantile: float
) -> tuple[
  Int[np.ndarray, "units"], Int[np.ndarray, "units"], Float[np.ndarray, "units"]
]:
  """Returns the ranks of the two order statistics beside a quantile, larger one first.

  The larger rank never falls as the number of values grows.

  Returns:
    Both ranks, and how far the quantile lies from the first value to the second.
  """
  last = np.maximum(num_values - 1, 0)
  rank = np.clip(quantile * num_values - 0.5, 0, last)
  lower = np.floor(rank).astype(np.int64)
  upper = np.minimum(lower + 1, last)
  return num_values - lower, num_values - upper, rank - lower


def values_above(
  activations: Float[np.ndarray, "images height width units"],
  floor: Float[np.ndarray, "units"],
) -> tuple[Float[np.ndarray, "n"], Int[np.ndarray, "n"]]:
  """Returns the values that exceed their unit's floor, and their units; never NaN."""
  width, units = activations.shape[2:]
  # Comparing whole rows of positions at once is faster.
  rows = activations.reshape(-1, width * units)
  at = np.flatnonzero(rows > np.tile(floor, width)[None, :])
  return rows.ravel().take(at), at % units


def images_per_block(
  activations: Float[np.ndarray, "images height width units"],
) -> int:
  """Returns the number of images in a block."""
  return max(1, BLOCK // int(activations[0].size))


def first_floor(
  values: Float[np.ndarray, "n units"], needed: int
) -> Float[np.ndarray, "units"]:
  """Returns a floor per unit that at least `needed` of its values reach, or -inf.

  Without a floor, every value would have to be kept until there are enough. The floor
  is estimated from a sample and verified by counting.
  """
  none = np.full(values.shape[1], -np.inf, np.float32)
  sample = values[:: max(1, len(values) // _SAMPLE)]
  rank = int(_MARGIN * needed / len(values) * len(sample)) + 1
  if rank > len(sample):
    return none
  # NaN would sort as the largest value.
  sample = np.where(np.isnan(sample), np.float32(-np.inf), sample)
  estimate = np.partition(sample, -rank, axis=0)[-rank]
  reached = (values >= estimate[None, :]).sum(axis=0)
  return np.where(reached >= needed, estimate, none)
