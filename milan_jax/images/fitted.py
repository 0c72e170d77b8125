"""What sources share whose images a `Geometry` makes square."""

import numpy as np
from jaxtyping import UInt8

from milan_jax.images.geometry import Geometry
from milan_jax.images.source import black


class FittedImages:
  """Images of the size that a geometry says; a source sets the geometry."""

  _geometry: Geometry

  @property
  def size(self) -> int:
    """Side of every image, in pixels."""
    return self._geometry.crop

  @property
  def blank(self) -> UInt8[np.ndarray, "size size 3"]:
    """A black image."""
    return black(self.size)
