"""The streaming statistics of one layer: top images, thresholds and firing.

`state, batch -> state` and `merge`. A state is donated to the function that takes it,
as an argument of `jax.jit` may be: use only the state that comes back. The finished
statistics are the same bytes whatever the batches, their order, and the number of
states merged.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.exemplars import firing, thresholds, top_images
from milan_jax._src.records import LayerShape


@dataclasses.dataclass(frozen=True, slots=True)
class LayerState:
  """What is known of a layer so far."""

  top: top_images.TopImages
  thresholds: thresholds.ThresholdState
  firing: firing.Firing


@dataclasses.dataclass(frozen=True, slots=True)
class LayerStatistics:
  """What the whole data set says of a layer's units, exemplars best first.

  Attributes:
    image_ids: position of each exemplar in the data set. A unit with too few images of
      finite maximum repeats one, and is dead.
    activations: spatial maximum on each exemplar, in the model's units; -inf where the
      unit has too few images.
    maps: the unit's activations on each exemplar.
    thresholds: quantile of each unit over all positions of all images, in the model's
      units.
    dead: units that never varied, or have too few images of finite maximum.
    num_bad_maps: number of images on which the unit's maximum was not finite: they are
      nobody's exemplars.
    num_ties: number of images as good as the unit's last exemplar that are none, since
      their positions are higher: above zero, its exemplars are partly arbitrary.
    num_firing: number of images on which the unit fires, as `firing` says: those on
      which it is above zero if it is never below, otherwise all; None if not counted.
    num_images: number of images that this is of: those on which the unit's maximum was
      finite; None if not counted.
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


def start(
  shape: LayerShape,
  *,
  k: int,
  quantile: float,
  num_images: int,
  units: int | None = None,
) -> LayerState:
  """The state before any image.

  Args:
    shape: the layer's shape.
    units: how many of its units are looked at; None for all. What is found of a unit
      does not depend on it.
    k: number of exemplars of a unit.
    quantile: of the threshold, as a fraction.
    num_images: size of the data set, images that cannot be read included.
  """
  units = shape.units if units is None else units
  return LayerState(
    top=top_images.start(units, k, shape.height, shape.width),
    thresholds=thresholds.start(
      shape, num_images=num_images, quantile=quantile, units=units
    ),
    firing=firing.start(units),
  )


def update(
  state: LayerState,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
) -> LayerState:
  """The state after some more images, none of them seen before; `state` is donated."""
  if not image_ids.size:
    return state
  # One axis at a time is three times as fast as both together. NaN wins a maximum.
  maxima = activations.max(axis=1).max(axis=1)
  num_nan = np.zeros(maxima.shape, np.int64)
  for image, unit in np.argwhere(np.isnan(maxima)):
    num_nan[image, unit] = np.isnan(activations[image, :, :, unit]).sum()
  return LayerState(
    top=top_images.update(state.top, image_ids, activations, maxima),
    thresholds=thresholds.update(state.thresholds, image_ids, activations, num_nan),
    firing=firing.update(state.firing, activations, maxima),
  )


def merge(*states: LayerState) -> LayerState:
  """The state of disjoint parts of one data set together; all are donated."""
  return functools.reduce(
    lambda a, b: LayerState(
      top=top_images.merge(a.top, b.top),
      thresholds=thresholds.merge(a.thresholds, b.thresholds),
      firing=firing.merge(a.firing, b.firing),
    ),
    states,
  )


def finish(state: LayerState) -> LayerStatistics:
  """The statistics of all that was seen; `state` is donated."""
  top = state.top
  # The best image stands in for those that a unit lacks, so that ids stay positions.
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


# Names of fields in saved states, where they differ from the field's.
_SAVED_NAMES = {"thresholds": "levels", "greatest": "most"}


def to_arrays(state: LayerState) -> dict[str, np.ndarray]:
  """The state as named arrays, to be saved."""
  return _take_apart(state, "")


def from_arrays(arrays: Mapping[str, np.ndarray]) -> LayerState:
  """The state that `to_arrays` took apart.

  Raises:
    KeyError: if an array is missing.
  """
  return _put_together(LayerState, arrays, "")


def _take_apart(state: Any, prefix: str) -> dict[str, np.ndarray]:
  arrays: dict[str, np.ndarray] = {}
  for field in dataclasses.fields(state):
    name, value = prefix + _saved_name(field), getattr(state, field.name)
    if dataclasses.is_dataclass(value):
      arrays |= _take_apart(value, f"{name}.")
    else:
      arrays[name] = np.asarray(value)
  return arrays


def _put_together(kind: Any, arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
  values = {}
  for field in dataclasses.fields(kind):
    name = prefix + _saved_name(field)
    if dataclasses.is_dataclass(field.type):
      values[field.name] = _put_together(field.type, arrays, f"{name}.")
    else:
      # Arrays without axes were numbers; a state's own are changed in place, and what
      # comes out of a file may not be.
      array = arrays[name]
      own = array if array.flags.owndata else array.copy()
      values[field.name] = own.item() if own.ndim == 0 else own
  return kind(**values)


def _saved_name(field: dataclasses.Field) -> str:
  return _SAVED_NAMES.get(field.name, field.name)
