"""Joins several exemplar sets into one, for training on all of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from milan_jax._src.images.sizes import Size, sides, size_from_sides
from milan_jax._src.notebook import Shown
from milan_jax._src.records import ExemplarSet, LayerExemplars
from milan_jax._src.store.original_layout import nearest


def joined_layer(name: str, layer: str) -> str:
  """Returns the name of a layer of the set `name` in the joined set."""
  return f"{name}:{layer}"


class JoinedExemplars(Shown):
  """A view of several exemplar sets as one; copies only ids.

  Layers are named `NAME:LAYER`. Images and masks are resized to the image size of the
  first set, since networks differ in their image sizes.

  Args:
    sets: the sets by name, at least one.
  """

  def __init__(self, sets: Mapping[str, ExemplarSet]):
    self._sets = list(sets.values())
    numbers = [one.num_images for one in self._sets]
    self._begins = np.concatenate([[0], np.cumsum(numbers)])
    self._layers = {
      joined_layer(name, layer): (number, layer)
      for number, (name, one) in enumerate(sets.items())
      for layer in one.layers
    }
    first = self._sets[0].images(np.zeros(1, np.int64))
    self._size: Size = size_from_sides(*first.shape[1:3])

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of all layers, in the order of the sets."""
    return tuple(self._layers)

  @property
  def num_images(self) -> int:
    """Total number of distinct images of the sets."""
    return int(self._begins[-1])

  def exemplars(self, layer: str) -> LayerExemplars:
    """Returns ids, rows, activations and thresholds of a layer's units."""
    number, own = self._layers[layer]
    found = self._sets[number].exemplars(own)
    rows = found.image_rows + self._begins[number]
    return dataclasses.replace(found, layer=layer, image_rows=rows)

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the distinct images at `rows`."""
    numbers = np.searchsorted(self._begins, rows, side="right") - 1
    found = np.empty((len(rows), *sides(self._size), 3), np.uint8)
    for number in np.unique(numbers).tolist():
      here = np.flatnonzero(numbers == number)
      images = self._sets[number].images(rows[here] - self._begins[number])
      found[here] = _resized(images, self._size)
    return found

  def masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Returns the masks of some exemplars of a layer."""
    number, own = self._layers[layer]
    masks = self._sets[number].masks(own, rows, slots)
    return nearest(masks[..., None], self._size)[..., 0]


def _resized(
  images: UInt8[np.ndarray, "n height width 3"], size: Size
) -> UInt8[np.ndarray, "n rows columns 3"]:
  down, across = sides(size)
  if images.shape[1:3] == (down, across):
    return images
  pictures = (Image.fromarray(image) for image in images)
  resized = (each.resize((across, down), Image.Resampling.BICUBIC) for each in pictures)
  return np.stack([np.asarray(each) for each in resized])
