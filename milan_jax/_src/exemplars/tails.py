"""The upper and lower tail of each unit's activations.

A unit that rests at its maximum at more than 1 % of all positions responds by
decreasing. Its threshold equals its maximum, so no value exceeds it, and its top images
are ties. Such a unit is described by its lower tail. The values in rows of the lower
tail ("off") are how far the activation is below the resting value, which is the unit's
threshold; they are in the model's units and 0 at rest. These rows have thresholds and
masks like all others.

If both tails are collected, the range of each unit is known. A mask then has only
values that exceed the threshold by more than `MARGIN` times that range. This excludes
values of a plateau that differ only by rounding, which varies between torch, ONNX and
JAX.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.exemplars import stats
from milan_jax._src.exemplars.stats import LayerState, LayerStatistics

Tail = Literal["auto", "upper", "lower", "both"]
# Share of a unit's range that separates values from rounding noise: about 1,000 times
# the rounding of float32, and a hundredth of a 7-bit bin.
MARGIN = 1e-4


def finish(state: LayerState, tail: Tail = "auto") -> LayerStatistics:
  """Returns the statistics of all images seen; `state` is donated.

  Args:
    state: the state after the whole pass.
    tail: "upper" and "lower" return one row per unit; "both" returns two, the upper
      tail first. "auto" returns one row per unit: the lower tail of a unit that rests
      at its maximum, otherwise the upper tail. If `state` has no lower tail, the upper
      tail is returned for any `tail`.
  """
  lower = state.lower
  if lower is None or tail == "upper":
    return stats.finish(state)
  # Firing is that of the upper tail here, and counted again in `_below_rest`.
  negated = stats.finish(
    LayerState(
      top=lower.top,
      thresholds=lower.thresholds,
      firing=state.firing,
      values=state.values,
      samples=lower.samples,
    )
  )
  upper = stats.finish(state)
  alive = ~(upper.dead | negated.dead)
  spans = np.where(alive, upper.activations[:, 0] + negated.activations[:, 0], 0)
  margins = (MARGIN * spans).astype(np.float32)
  off = _below_rest(upper, negated, margins, alive)
  upper = dataclasses.replace(upper, margins=margins)
  units = np.arange(len(margins))
  if tail == "lower":
    return dataclasses.replace(off, off=np.ones(len(margins), bool))
  if tail == "both":
    return _select(upper, off, units.repeat(2), np.tile([False, True], len(units)))
  flat = ~_exceeds(upper) & _exceeds(off) & alive
  return _select(upper, off, units, flat)


def _exceeds(found: LayerStatistics) -> Bool[np.ndarray, "units"]:
  """Marks the units whose maximum exceeds the threshold by more than the margin."""
  assert found.margins is not None, "both tails are known"
  exceeds: np.ndarray = found.activations[:, 0] - found.thresholds > found.margins
  return exceeds


def _below_rest(
  upper: LayerStatistics,
  negated: LayerStatistics,
  margins: Float[np.ndarray, "units"],
  alive: Bool[np.ndarray, "units"],
) -> LayerStatistics:
  """Returns the lower tail as distances below rest, from the negated activations.

  A unit that is below its resting value on fewer than k images fires only on those.
  """
  rest = np.where(alive, upper.thresholds, 0).astype(np.float32)
  activations = negated.activations + rest[:, None]
  k = activations.shape[1]
  firing = (activations > margins[:, None]).sum(axis=1)
  assert upper.num_images is not None, "a pass counts its images"
  return dataclasses.replace(
    negated,
    activations=activations,
    maps=negated.maps + rest[:, None, None, None],
    thresholds=np.where(alive, negated.thresholds + rest, negated.thresholds),
    dead=~alive,
    num_firing=np.where(firing < k, firing, upper.num_images),
    margins=margins,
    **_distribution_below(upper, negated, rest),
  )


def _distribution_below(
  upper: LayerStatistics, negated: LayerStatistics, rest: Float[np.ndarray, "units"]
) -> dict[str, Any]:
  """Returns the distribution of the distances below rest; nothing if not known."""
  if upper.value_bins is None or negated.sample_maps is None:
    return {}
  assert upper.value_counts is not None and negated.maximum_bins is not None
  assert negated.sample_activations is not None
  width = upper.value_bins[:, 1]
  last = upper.value_bins[:, 0] + upper.value_counts.shape[1] * width
  there = ~np.isnan(negated.sample_activations)
  return {
    "value_bins": np.stack([rest - last, width], axis=1),
    "value_counts": upper.value_counts[:, ::-1].copy(),
    "maximum_bins": negated.maximum_bins + np.stack([rest, np.zeros_like(rest)], 1),
    "sample_activations": negated.sample_activations + rest[:, None],
    "sample_maps": np.where(
      there[:, :, None, None], negated.sample_maps + rest[:, None, None, None], 0
    ),
  }


def _select(
  upper: LayerStatistics,
  off: LayerStatistics,
  positions: Int[np.ndarray, "rows"],
  is_off: Bool[np.ndarray, "rows"],
) -> LayerStatistics:
  """Selects rows of the upper tail, and of the lower tail where `is_off` is true."""
  chosen: dict[str, Any] = {}
  for field in dataclasses.fields(LayerStatistics):
    one, other = getattr(upper, field.name), getattr(off, field.name)
    if one is not None:
      chosen[field.name] = one[positions]
      chosen[field.name][is_off] = other[positions[is_off]]
  return LayerStatistics(**chosen | {"off": is_off, "positions": positions})
