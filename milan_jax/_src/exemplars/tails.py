"""Both tails of a unit's activations: what raises it, and what lowers it.

A unit that rests at its maximum over more than 1 % of all positions answers by going
down: its threshold is its maximum, so nothing exceeds it, and its top images are ties.
Such a unit is described by its lower tail. Rows of the lower tail ("off") hold by how
much the unit is below its resting value, which is its threshold: 0 at rest, and in the
model's units. They are thresholded and drawn like any other.

Where both tails were collected, the range of each unit is known, and a mask holds what
exceeds the threshold by `MARGIN` of that range: where a plateau is flat but for
rounding, which differs between torch, ONNX and JAX, nothing does.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.exemplars import stats
from milan_jax._src.exemplars.stats import LayerState, LayerStatistics

Tail = Literal["auto", "upper", "lower", "both"]
# Share of a unit's range that separates values from rounding noise: some 1,000 times
# the rounding of float32, and a hundredth of a bin of 7 bits.
MARGIN = 1e-4


def finish(state: LayerState, tail: Tail = "auto") -> LayerStatistics:
  """Returns the statistics of all images seen; `state` is donated.

  Args:
    state: of the whole pass.
    tail: "upper" and "lower" give one row a unit, "both" two, the upper one first;
      "auto" gives one row a unit: the lower tail of a unit that rests at its maximum,
      otherwise the upper. A state without the lower tail gives the upper, whatever
      `tail` is.
  """
  lower = state.lower
  if lower is None or tail == "upper":
    return stats.finish(state)
  # The same fields as the upper tail's: firing is counted again below.
  negated = stats.finish(
    LayerState(top=lower.top, thresholds=lower.thresholds, firing=state.firing)
  )
  upper = stats.finish(state)
  alive = ~(upper.dead | negated.dead)
  spans = np.where(alive, upper.activations[:, 0] + negated.activations[:, 0], 0)
  margins = (MARGIN * spans).astype(np.float32)
  off = _below_rest(upper, negated, margins, alive)
  upper = dataclasses.replace(upper, margins=margins)
  if tail == "lower":
    return dataclasses.replace(off, off=np.ones(len(margins), bool))
  if tail == "both":
    return _select(
      upper, off, *(np.repeat(np.arange(len(margins)), 2), _alternate(margins))
    )
  flat = ~_exceeds(upper) & _exceeds(off) & alive
  return _select(upper, off, np.arange(len(margins)), flat)


def _exceeds(found: LayerStatistics) -> Bool[np.ndarray, "units"]:
  """Units whose maximum exceeds their threshold by more than the margin."""
  assert found.margins is not None, "both tails are known"
  exceeds: np.ndarray = found.activations[:, 0] - found.thresholds > found.margins
  return exceeds


def _alternate(margins: Float[np.ndarray, "units"]) -> Bool[np.ndarray, "rows"]:
  return np.tile([False, True], len(margins))


def _below_rest(
  upper: LayerStatistics,
  negated: LayerStatistics,
  margins: Float[np.ndarray, "units"],
  alive: Bool[np.ndarray, "units"],
) -> LayerStatistics:
  """The lower tail as what is below rest, from that of the negated activations.

  A unit that goes below its rest on fewer than k images fires on these alone.
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
  )


def _select(
  upper: LayerStatistics,
  off: LayerStatistics,
  positions: Int[np.ndarray, "rows"],
  is_off: Bool[np.ndarray, "rows"],
) -> LayerStatistics:
  """Rows of two tails, by position; each of the one or the other."""
  chosen: dict[str, Any] = {}
  for field in dataclasses.fields(LayerStatistics):
    one, other = getattr(upper, field.name), getattr(off, field.name)
    if one is not None:
      chosen[field.name] = one[positions]
      chosen[field.name][is_off] = other[positions[is_off]]
  return LayerStatistics(**chosen | {"off": is_off, "positions": positions})
