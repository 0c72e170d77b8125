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

  The activations of an image do not depend on which images share its batch.

  Example:
    >>> isinstance(network.probe, milan_jax.Probe)
    True
    >>> network.probe.activations(images[:2], ("conv2",))["conv2"].shape
    (2, 8, 8, 8)
  """

  @property
  def image_size(self) -> Size:
    """Size of the images that the model takes, or makes, in pixels."""

  @property
  def num_devices(self) -> int:
    """Devices that a batch is spread over; it divides the size of every batch."""

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer that can be read, in the model's order, for `image_size`."""

  def activations(self, inputs: np.ndarray, layers: tuple[str, ...]) -> Activations:
    """Activations of some layers, in the model's own units.

    Args:
      inputs: for most models UInt8[batch height width 3], RGB, 0 to 255, or of
        as many channels as its attribute `channels` says; the probe
        normalizes them as its model wants. For a generator, its latents.
      layers: names among those of `layers()`.

    Returns:
      Arrays that nothing writes to later: they are read while the next batch runs.

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
  """What probes share that run on one device; a probe sets the size of its images."""

  _image_size: Size
  _channels: int = 3

  @property
  def channels(self) -> int:
    """Channels of the images that the model takes."""
    return self._channels

  def trial_images(self, batch: int) -> UInt8[np.ndarray, "batch rows columns c"]:
    """Black images, as the model takes them."""
    return black_images(batch, self._image_size, self._channels)

  @property
  def image_size(self) -> Size:
    """Size of the images that the model takes, or makes, in pixels."""
    return self._image_size

  @property
  def num_devices(self) -> int:
    """Devices that a batch is spread over."""
    return 1
