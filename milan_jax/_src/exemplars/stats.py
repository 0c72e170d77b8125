"""The streaming statistics of one layer: top images, thresholds and firing.

The lower tail is the upper tail of the negated activations. It is also collected if
units may be described by what lowers their activation; see `tails`.

`update` adds a batch to a state, and `merge` merges states. A state is donated to the
function that takes it, as to `jax.jit`: the function may overwrite it, so use only the
returned state. The finished statistics have the same bytes for any batches in any order
and for any number of merged states.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.exemplars import firing, thresholds, top_images
from milan_jax._src.exemplars.top_images import Groups
from milan_jax._src.records import LayerShape


@dataclasses.dataclass(frozen=True, slots=True)
class LowerTail:
  """The state of the statistics of a layer's negated activations."""

  top: top_images.TopImages
  thresholds: thresholds.ThresholdState


@dataclasses.dataclass(frozen=True, slots=True)
class LayerState:
  """The state of a layer's statistics; `lower` is None if it is not collected."""

  top: top_images.TopImages
  thresholds: thresholds.ThresholdState
  firing: firing.Firing
  lower: LowerTail | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LayerStatistics:
  """The statistics of a layer's units over the data set, exemplars best first.

  Attributes:
    image_ids: position of each exemplar in the data set. A unit with too few images of
      finite maximum repeats an image and is dead.
    activations: spatial maximum on each exemplar, in the model's units; -inf for
      repeated images of a dead unit.
    maps: the unit's activations on each exemplar.
    thresholds: quantile of each unit over all positions of all images, in the model's
      units.
    dead: whether the unit never varied or has too few images of finite maximum.
    num_bad_maps: number of images on which the unit's maximum was not finite, which are
      never exemplars.
    num_ties: number of images that equal the unit's last exemplar but are not
      exemplars, because their positions are higher. If it is above zero, the exemplars
      are partly arbitrary.
    num_firing: number of images on which the unit fires (see `firing`): those with a
      positive value if the unit is never negative, otherwise all; None if not counted.
    num_images: number of images on which the unit's maximum was finite; None if not
      counted.
    margins: how far a value must exceed the threshold to be in a mask, in the model's
      units; None for zero.
    off: whether the row is of the lower tail, whose values are how far the activation
      is below the unit's resting value; None if no row is.
    positions: position of each row's unit among the layer's chosen units; None if there
      is one row per unit, in order.
  """

  image_ids: Int[np.ndarray, "units k"]
  activations: Float[np.ndarray, "units k"]
  maps: Float[np.ndarray, "units k height width"]
  thresholds: Float[np.ndarray, "units"]
  dead: Bool[np.ndarray, "units"]
  num_bad_maps: Int[np.ndarray, "units"]
  num_ties: Int[np.ndarray, "units"]
  num_firing: Int[np.ndarray, "units"] | None = None
  num_images: Int[np.ndarray, "units"] | None = None
  margins: Float[np.ndarray, "units"] | None = None
  off: Bool[np.ndarray, "units"] | None = None
  positions: Int[np.ndarray, "units"] | None = None


def start(
  shape: LayerShape,
  *,
  k: int,
  quantile: float,
  num_images: int,
  units: int | None = None,
  lower: bool = False,
) -> LayerState:
  """Returns the state before any image.

  Args:
    shape: the layer's shape.
    units: number of units to collect statistics for; None for all. It does not affect
      the statistics of a unit.
    k: number of exemplars per unit.
    quantile: quantile that is the threshold, as a fraction.
    num_images: size of the data set, including images that cannot be read.
    lower: whether to also collect the lower tail.
  """
  units = shape.units if units is None else units

  def tail() -> tuple[top_images.TopImages, thresholds.ThresholdState]:
    return top_images.start(units, k, shape.height, shape.width), thresholds.start(
      shape, num_images=num_images, quantile=quantile, units=units
    )

  upper = tail()
  return LayerState(*upper, firing.start(units), LowerTail(*tail()) if lower else None)


def update(
  state: LayerState,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
  groups: Groups | None = None,
) -> LayerState:
  """Returns the state after a batch of images; `state` is donated.

  Args:
    state: the state before the batch.
    image_ids: position of each image in the data set; each image occurs once in a pass.
    activations: the layer's activations.
    groups: groups of the data set's images; None if each image is its own group.
  """
  if not image_ids.size:
    return state
  # One axis at a time is three times as fast as both at once. NaN propagates.
  maxima = activations.max(axis=1).max(axis=1)
  num_nan = np.zeros(maxima.shape, np.int64)
  for image, unit in np.argwhere(np.isnan(maxima)):
    num_nan[image, unit] = np.isnan(activations[image, :, :, unit]).sum()
  lower = state.lower
  if lower is not None:
    negated = -activations
    lowered = -activations.min(axis=1).min(axis=1)
    lower = LowerTail(
      top=top_images.update(lower.top, image_ids, negated, lowered, groups),
      thresholds=thresholds.update(lower.thresholds, image_ids, negated, num_nan),
    )
  return LayerState(
    top=top_images.update(state.top, image_ids, activations, maxima, groups),
    thresholds=thresholds.update(state.thresholds, image_ids, activations, num_nan),
    firing=firing.update(state.firing, activations, maxima),
    lower=lower,
  )


def merge(*states: LayerState, groups: Groups | None = None) -> LayerState:
  """Merges the states of disjoint parts of a data set; all are donated."""
  return functools.reduce(lambda a, b: _merge_two(a, b, groups), states)


def _merge_two(a: LayerState, b: LayerState, groups: Groups | None) -> LayerState:
  if (a.lower is None) != (b.lower is None):
    raise ValueError("only one of these states has the lower tail")
  return LayerState(
    top=top_images.merge(a.top, b.top, groups),
    thresholds=thresholds.merge(a.thresholds, b.thresholds),
    firing=firing.merge(a.firing, b.firing),
    lower=None
    if a.lower is None or b.lower is None
    else LowerTail(
      top=top_images.merge(a.lower.top, b.lower.top, groups),
      thresholds=thresholds.merge(a.lower.thresholds, b.lower.thresholds),
    ),
  )


def finish(state: LayerState) -> LayerStatistics:
  """Returns the upper tail's statistics of all images seen; `state` is donated.

  `tails.finish` also handles the lower tail.
  """
  top = state.top
  # The best image replaces missing ones, so that every id is a valid position.
  none = top.image_ids == top_images.NO_IMAGE
  best = np.where(none[:, :1], top.image_ids.min(), top.image_ids[:, :1])
  return LayerStatistics(
    image_ids=np.where(none, best, top.image_ids),
    activations=top.activations,
    maps=top_images.ranked_maps(top),
    thresholds=thresholds.unit_thresholds(state.thresholds),
    dead=top.dead,
    num_bad_maps=top.num_bad_maps,
    num_ties=top.num_ties,
    num_firing=state.firing.num_firing,
    num_images=state.firing.num_images,
  )


# Names in saved states that differ from the names of the fields.
_SAVED_NAMES = {"thresholds": "levels", "greatest": "most"}


def to_arrays(state: LayerState) -> dict[str, np.ndarray]:
  """Returns the state as named arrays for saving."""
  return _flatten(state, "")


def from_arrays(arrays: Mapping[str, np.ndarray]) -> LayerState:
  """Restores a state from the arrays of `to_arrays`.

  Raises:
    KeyError: if an array is missing.
  """
  state: LayerState = _unflatten(LayerState, arrays, "")
  return state


def _flatten(state: Any, prefix: str) -> dict[str, np.ndarray]:
  arrays: dict[str, np.ndarray] = {}
  for field in dataclasses.fields(state):
    name, value = prefix + _saved_name(field), getattr(state, field.name)
    if dataclasses.is_dataclass(value):
      arrays |= _flatten(value, f"{name}.")
    elif value is not None:
      arrays[name] = np.asarray(value)
  return arrays


def _unflatten(kind: Any, arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
  values = {}
  for field in dataclasses.fields(kind):
    name = prefix + _saved_name(field)
    if field.type == LowerTail | None:
      known = any(each.startswith(f"{name}.") for each in arrays)
      values[field.name] = _unflatten(LowerTail, arrays, f"{name}.") if known else None
    elif dataclasses.is_dataclass(field.type):
      values[field.name] = _unflatten(field.type, arrays, f"{name}.")
    else:
      # Arrays without axes are numbers. States are changed in place, so arrays that do
      # not own their memory, such as those of a file, are copied.
      array = arrays[name]
      own = array if array.flags.owndata else array.copy()
      values[field.name] = own.item() if own.ndim == 0 else own
  return kind(**values)


def _saved_name(field: dataclasses.Field[Any]) -> str:
  return _SAVED_NAMES.get(field.name, field.name)
