"""The streaming statistics of one layer.

They are the top images, thresholds, firing, and the distribution of the activations:
a histogram of the values, one of the maxima, and samples from over the whole range.

The lower tail is the upper tail of the negated activations. It is also collected if
units may be described by what lowers their activation; see `tails`.

`update` adds a batch to a state, and `merge` merges states. A state is donated to the
function that takes it, as to `jax.jit`: the function may overwrite it, so use only the
returned state. The finished statistics have the same bytes for any batches in any order
and for any number of merged states.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.exemplars import (
  firing,
  histograms,
  range_samples,
  sampled_values,
  thresholds,
  top_images,
)
from milan_jax._src.exemplars.range_samples import RangeSamples
from milan_jax._src.exemplars.sampled_values import SampledValues
from milan_jax._src.exemplars.top_images import Groups
from milan_jax._src.records import LayerShape

_State = TypeVar("_State")


@dataclasses.dataclass(frozen=True, slots=True)
class LowerTail:
  """The state of the statistics of a layer's negated activations."""

  top: top_images.TopImages
  thresholds: thresholds.ThresholdState
  samples: RangeSamples | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LayerState:
  """The state of a layer's statistics.

  Attributes:
    top: the top images.
    thresholds: the thresholds.
    firing: on how many images each unit fires.
    lower: the lower tail; None if it is not collected.
    values: the histogram of the activations, and `samples` images from over their
      range; None if they are not collected, as by earlier versions.
    samples: see `values`.
  """

  top: top_images.TopImages
  thresholds: thresholds.ThresholdState
  firing: firing.Firing
  lower: LowerTail | None = None
  values: SampledValues | None = None
  samples: RangeSamples | None = None


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
    value_bins: start of the first bin of the histogram of each unit's activations, and
      the width of its bins; None, as the others below, if not collected.
    value_counts: number of activations in each bin (see `sampled_values`).
    maximum_bins: as `value_bins`, of the spatial maxima on all images.
    maximum_counts: number of images whose maximum is in each bin.
    sample_ids: position in the data set of each sample (see `range_samples`), by
      descending activation; -1 for none, which come last.
    sample_activations: spatial maximum on each sample; NaN for none.
    sample_maps: the unit's activations on each sample.
    sample_shares: number of images in the interval that each sample is from.
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
  value_bins: Float[np.ndarray, "units 2"] | None = None
  value_counts: Int[np.ndarray, "units bins"] | None = None
  maximum_bins: Float[np.ndarray, "units 2"] | None = None
  maximum_counts: Int[np.ndarray, "units bins"] | None = None
  sample_ids: Int[np.ndarray, "units samples"] | None = None
  sample_activations: Float[np.ndarray, "units samples"] | None = None
  sample_maps: Float[np.ndarray, "units samples height width"] | None = None
  sample_shares: Int[np.ndarray, "units samples"] | None = None


def start(
  shape: LayerShape,
  *,
  k: int,
  quantile: float,
  num_images: int,
  units: int | None = None,
  lower: bool = False,
  distribution: bool = True,
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
    distribution: whether to also collect the histograms and the samples.
  """
  units = shape.units if units is None else units

  def tail() -> LowerTail:
    size = shape.height, shape.width
    return LowerTail(
      top=top_images.start(units, k, *size),
      thresholds=thresholds.start(
        shape, num_images=num_images, quantile=quantile, units=units
      ),
      samples=range_samples.start(units, *size) if distribution else None,
    )

  upper = tail()
  return LayerState(
    top=upper.top,
    thresholds=upper.thresholds,
    firing=firing.start(units),
    lower=tail() if lower else None,
    values=sampled_values.start(shape, units) if distribution else None,
    samples=upper.samples,
  )


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
      samples=lower.samples
      and range_samples.update(lower.samples, image_ids, negated, lowered),
    )
  return LayerState(
    top=top_images.update(state.top, image_ids, activations, maxima, groups),
    thresholds=thresholds.update(state.thresholds, image_ids, activations, num_nan),
    firing=firing.update(state.firing, activations, maxima),
    lower=lower,
    values=state.values and sampled_values.update(state.values, image_ids, activations),
    samples=state.samples
    and range_samples.update(state.samples, image_ids, activations, maxima),
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
      samples=_merged(range_samples.merge, a.lower.samples, b.lower.samples),
    ),
    values=_merged(sampled_values.merge, a.values, b.values),
    samples=_merged(range_samples.merge, a.samples, b.samples),
  )


def _merged(
  merge: Callable[[_State, _State], _State], a: _State | None, b: _State | None
) -> _State | None:
  """Merges two states, unless one of them was not collected, as by earlier versions."""
  return None if a is None or b is None else merge(a, b)


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
    **_distribution(state.values, state.samples),
  )


def _distribution(
  values: SampledValues | None, samples: RangeSamples | None
) -> dict[str, Any]:
  """Returns the fields of `LayerStatistics` on the distribution; none if not known."""
  if values is None or samples is None:
    return {}
  bins, counts = histograms.finish(values.counted)
  found = range_samples.finish(samples)
  return {
    "value_bins": bins,
    "value_counts": counts,
    "maximum_bins": found.bins,
    "maximum_counts": found.counts,
    "sample_ids": found.image_ids,
    "sample_activations": found.activations,
    "sample_maps": found.maps,
    "sample_shares": found.shares,
  }


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
    parts = [each for each in typing.get_args(field.type) if each is not type(None)]
    if parts and dataclasses.is_dataclass(parts[0]):
      known = any(each.startswith(f"{name}.") for each in arrays)
      values[field.name] = _unflatten(parts[0], arrays, f"{name}.") if known else None
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
