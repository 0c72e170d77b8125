"""What every activation extractor offers."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, UInt8

from milan_jax.records import LayerShape

Activations = Mapping[str, Float[np.ndarray | jax.Array, "batch height width units"]]


@runtime_checkable
class Probe(Protocol):
  """A vision model whose layers' activations can be read.

  The activations of an image do not depend on which images share its batch.
  """

  @property
  def image_size(self) -> int:
    """Side of the square images that the model takes, in pixels."""

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer that can be read, in the model's order, for `image_size`."""

  def activations(
    self, images: UInt8[np.ndarray, "batch size size 3"], layers: tuple[str, ...]
  ) -> Activations:
    """Activations of some layers, in the model's own units.

    Args:
      images: RGB, 0 to 255; the probe normalises them as its model wants.
      layers: names among those of `layers()`.
    """
