"""On how many images each unit fires: exact, streaming and mergeable.

A unit that is never below zero, as behind a ReLU or a latent of a sparse autoencoder,
rests at zero: it fires on the images where its maximum is above it. A unit that has
been below zero has no such rest, and fires on every image.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True, slots=True)
class Firing:
  """What is known of a layer's units so far.

  Attributes:
    signed: whether the unit has been below zero.
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
  """The state before any image."""
  none = np.zeros(units, np.int64)
  return Firing(np.zeros(units, bool), none, none)


def update(
  state: Firing,
  activations: Float[np.ndarray, "batch height width units"],
  maxima: Float[np.ndarray, "batch units"],
) -> Firing:
  """The state after some more images.

  Args:
    state: what was seen before.
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
  """The state of two disjoint sets of images together."""
  return Firing(
    signed=a.signed | b.signed,
    num_positive=a.num_positive + b.num_positive,
    num_images=a.num_images + b.num_images,
  )


def _signed(
  signed: Bool[np.ndarray, "units"],
  activations: Float[np.ndarray, "batch height width units"],
) -> Bool[np.ndarray, "units"]:
  """Which units have been below zero. NaN is not below zero.

  Most layers are all signed, which the first images show, or not at all, which one
  minimum of all values shows; the units in between are looked at by themselves.
  """
  still = np.flatnonzero(~signed)
  if not still.size or activations.min() >= 0:
    return signed
  some = activations if still.size == len(signed) else activations[..., still]
  signed = signed.copy()
  least = np.fmin.reduce(np.fmin.reduce(some, axis=1), axis=1)
  signed[still] = np.fmin.reduce(least, axis=0) < 0
  return signed
