"""The histogram of each unit's activations over the positions of all images.

Layers of many positions have more values than can be counted beside the model: a value
costs some ten nanoseconds. So of each image the values at some positions are counted,
at most `VALUES` of a layer, and all where these are enough. The positions are spread
evenly and shifted from image to image. They depend on the image's position in the data
set alone, so the result depends neither on the order of the images, nor on batches or
shards.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.exemplars import histograms
from milan_jax._src.exemplars.histograms import Histogram
from milan_jax._src.records import LayerShape

VALUES = 1 << 13
# 2 ** 16 divided by the golden ratio: the shifts of any few images are spread evenly.
_STEP = 40503
_SHIFTS = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class SampledValues:
  """The state of a layer's histograms.

  Attributes:
    num_positions: positions of each image that are counted.
    counted: the histograms.
  """

  num_positions: int
  counted: Histogram


def start(shape: LayerShape, units: int) -> SampledValues:
  """Returns the state before any image, of some of a layer's units."""
  positions = shape.height * shape.width
  return SampledValues(
    num_positions=min(positions, max(1, VALUES // shape.units)),
    counted=histograms.start(units),
  )


def update(
  state: SampledValues,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
) -> SampledValues:
  """Returns the state after a batch of images; `state` is donated."""
  number, height, width, units = activations.shape
  values = activations.reshape(number, height * width, units)
  if state.num_positions < height * width:
    places = positions_of(image_ids, state.num_positions, height * width)
    values = values[np.arange(number)[:, None], places]
  counted = histograms.update(state.counted, values.reshape(-1, units))
  return dataclasses.replace(state, counted=counted)


def merge(a: SampledValues, b: SampledValues) -> SampledValues:
  """Merges the states of two disjoint sets of images; both are donated."""
  return dataclasses.replace(a, counted=histograms.merge(a.counted, b.counted))


def positions_of(
  image_ids: Int[np.ndarray, "batch"], count: int, positions: int
) -> Int[np.ndarray, "batch {count}"]:
  """Returns the positions of each image that are counted, of all its `positions`."""
  shifts = (image_ids * _STEP) % _SHIFTS
  # In integers: the first of `count` equal parts begins at the shift, below one part.
  fractions = np.arange(count) * _SHIFTS + shifts[:, None]
  found: np.ndarray = fractions * positions // (count * _SHIFTS)
  return found
