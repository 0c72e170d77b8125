"""The interface of activation extractors."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides
from milan_jax._src.records import LayerShape

# Batch size of a model's first run, which finds the shapes of its layers. An unusual
# number of heads, windows or channels, so that an axis of this length is the batch.
TRIAL_BATCH = 5
# Batch size for tracing, which computes no arrays: an even more unusual number.
TRACED_BATCH = 13
Activations = Mapping[str, Float[np.ndarray | jax.Array, "batch height width units"]]


@runtime_checkable
class Probe(Protocol):
  """A vision model whose layers' activations can be read.

  Your own class may derive from it or just have its members. Its inputs are uint8
  images, `(batch, height, width, channels)`, RGB, 0 to 255; the probe normalizes them
  for its model. The activations of an image must not depend on the other images in its
  batch.

  Attributes:
    image_size: size of the images that the model takes or generates, in pixels: an int
      for squares, or a tuple `(height, width)`.
    num_devices: number of devices that a batch is split over, usually 1; it divides the
      size of every batch.

  A probe may also have `channels`, an int: the channels of its images; the default is
  3.

  Example:
    >>> class Brightness(milan_jax.Probe):
    ...   image_size = 32
    ...   num_devices = 1
    ...
    ...   def layers(self):
    ...     return (milan_jax.LayerShape("light", height=8, width=8, units=3),)
    ...
    ...   def activations(self, inputs, layers):
    ...     blocks = (inputs / 255).reshape(-1, 8, 4, 8, 4, 3)
    ...     return {"light": blocks.mean((2, 4))}
    >>> network = milan_jax.probe(Brightness())
    >>> network.probe.activations(images[:2], ("light",))["light"].shape
    (2, 8, 8, 3)
  """

  image_size: Size
  num_devices: int

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer that can be read, in the model's order, for `image_size`."""

  def activations(self, inputs: np.ndarray, layers: tuple[str, ...]) -> Activations:
    """Activations of some layers, in the model's own units.

    Args:
      inputs: `UInt8[batch height width channels]`, RGB, 0 to 255. For a generator, its
        latents.
      layers: names from `layers()`.

    Returns:
      For each of `layers`, an array `Float[batch height width units]` as its
      `LayerShape` states; a vector is `1 x 1`. The probe must not write to the arrays
      later: they are read while the next batch runs.

    Raises:
      UserError: if a layer is unknown, or its array does not fit its layout.
    """


@runtime_checkable
class Generator(Probe, Protocol):
  """A model that generates images from latents, whose activations can be read."""

  def images(self, inputs: np.ndarray) -> UInt8[np.ndarray, "batch height width 3"]:
    """The images that it generates from inputs, RGB, 0 to 255."""


def black_images(
  batch: int, size: Size, channels: int
) -> UInt8[np.ndarray, "{batch} rows columns {channels}"]:
  """Black images for a trial run."""
  return np.zeros((batch, *sides(size), channels), np.uint8)


def check_images(images: Any, channels: int) -> None:
  """Checks the images that a probe is to normalize.

  Raises:
    UserError: if they are not uint8, `(batch, height, width, channels)`.
  """
  dtype: Any = getattr(images, "dtype", None)
  shape: Any = getattr(images, "shape", ())
  if dtype != np.uint8 or len(shape) != 4 or shape[3] != channels:
    found = type(images).__name__ if dtype is None else f"{dtype} of shape {shape}"
    raise UserError(
      "images: expected uint8 from 0 to 255, which the probe normalizes, of shape "
      f"(batch, height, width, {channels}); found {found}."
    )


class OneDevice:
  """The base of probes that run on one device; a subclass sets `image_size`.

  Attributes:
    image_size: size of the images that the model takes or generates, in pixels.
    num_devices: number of devices that a batch is split over.
  """

  image_size: Size
  num_devices: int = 1
  _channels: int = 3

  @property
  def channels(self) -> int:
    """Channels of the images that the model takes."""
    return self._channels

  def trial_images(self, batch: int) -> UInt8[np.ndarray, "batch rows columns c"]:
    """Black images of the model's size and channels."""
    return black_images(batch, self.image_size, self._channels)
