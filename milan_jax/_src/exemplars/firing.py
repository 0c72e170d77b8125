"""The number of images on which each unit fires: exact, streaming and mergeable.

A unit that is never below zero (behind a ReLU, or a latent of a sparse autoencoder)
rests at zero and fires on the images where its maximum is above zero. A unit that takes
negative values has no resting value and fires on every image.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True, slots=True)
class Firing:
  """The state of a layer's firing counts.

  Attributes:
    signed: whether the unit has taken a negative value.
    num_positive: number of images on which its maximum is above zero, and finite.
    num_images: number of images on which its maximum is finite.
  """

  signed: Bool[np.ndarray, "units"]
  num_positive: Int[np.ndarray, "units"]
  num_images: Int[np.ndarray, "units"]

  @property
  def num_firing(self) -> Int[np.ndarray, "units"]:
    """Number of images on which each unit fires."""
    return np.where(self.signed, self.num_images, self.num_positive)


def start(units: int) -> Firing:
  """Returns the state before any image."""
  none = np.zeros(units, np.int64)
  return Firing(np.zeros(units, bool), none, none)


def update(
  state: Firing,
  activations: Float[np.ndarray, "batch height width units"],
  maxima: Float[np.ndarray, "batch units"],
) -> Firing:
  """Returns the state after some more images.

  Args:
    state: the state before them.
    activations: the layer's activations.
    maxima: their spatial maxima, NaN where a map holds a NaN.
  """
  finite = np.isfinite(maxima)
  return Firing(
    signed=_signed(state.signed, activations),
    num_positive=state.num_positive + (finite & (maxima > 0)).sum(axis=0),
    num_images=state.num_images + finite.sum(axis=0),
  )


def merge(a: Firing, b: Firing) -> Firing:
  """Merges the states of two disjoint sets of images."""
  return Firing(
    signed=a.signed | b.signed,
    num_positive=a.num_positive + b.num_positive,
    num_images=a.num_images + b.num_images,
  )


def _signed(
  signed: Bool[np.ndarray, "units"],
  activations: Float[np.ndarray, "batch height width units"],
) -> Bool[np.ndarray, "units"]:
  """Marks the units that have taken negative values; NaN is not negative.

  In most layers all units are signed, which the first images show, or none, which one
  minimum over all values shows. Only in other layers are single units examined.
  """
  still = np.flatnonzero(~signed)
  if not still.size or activations.min() >= 0:
    return signed
  some = activations if still.size == len(signed) else activations[..., still]
  signed = signed.copy()
  least = np.fmin.reduce(np.fmin.reduce(some, axis=1), axis=1)
  signed[still] = np.fmin.reduce(least, axis=0) < 0
  return signed
