"""What every activation extractor offers."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, UInt8

from milan_jax._src.images.sizes import Size, sides
from milan_jax._src.records import LayerShape

# Images or latents of a model's first run, which finds the shapes of its layers. No
# usual number of heads, windows or colors: an axis of this length is the batch.
TRIAL_BATCH = 5
# The same where a model is traced, so that no array is made: a rarer number.
TRACED_BATCH = 13
Activations = Mapping[str, Float[np.ndarray | jax.Array, "batch height width units"]]


@runtime_checkable
class Probe(Protocol):
  """A vision model whose layers' activations can be read.

  A class of your own may derive from it or only have its members. What goes in are
  images, uint8, `(batch, height, width, channels)`, RGB, 0 to 255: the probe normalizes
  them as its model wants. The activations of an image must not depend on which images
  share its batch.

  Attributes:
    image_size: size of the images that the model takes, or makes, in pixels: an int
      for squares, or a tuple `(height, width)`.
    num_devices: devices that a batch is spread over; it divides the size of every
      batch. 1 for most.

  A probe may also have `channels`, an int: channels of the images, 3 where it has not.

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
      layers: names among those of `layers()`.

    Returns:
      For each of `layers`, an array `Float[batch height width units]` as its
      `LayerShape` states; a vector is `1 x 1`. Nothing writes to them later: they are
      read while the next batch runs.

    Raises:
      UserError: if a layer is unknown, or its array does not fit its layout.
    """


@runtime_checkable
class Generator(Probe, Protocol):
  """A model that makes images of latents, whose layers' activations can be read."""

  def images(self, inputs: np.ndarray) -> UInt8[np.ndarray, "batch height width 3"]:
    """The images that it makes of some inputs, RGB, 0 to 255."""


def black_images(
  batch: int, size: Size, channels: int
) -> UInt8[np.ndarray, "{batch} rows columns {channels}"]:
  """Images for a trial run, black."""
  return np.zeros((batch, *sides(size), channels), np.uint8)


class OneDevice:
  """What probes that run on one device share; a probe sets the size of its images.

  Attributes:
    image_size: size of the images that the model takes, or makes, in pixels.
    num_devices: devices that a batch is spread over.
  """

  image_size: Size
  num_devices: int = 1
  _channels: int = 3

  @property
  def channels(self) -> int:
    """Channels of the images that the model takes."""
    return self._channels

  def trial_images(self, batch: int) -> UInt8[np.ndarray, "batch rows columns c"]:
    """Black images, as the model takes them."""
    return black_images(batch, self.image_size, self._channels)
