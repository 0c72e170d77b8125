"""Activations of any layout as `(batch, height, width, units)`.

A unit is a channel. The activations of convolutions and vectors are not copied.
"""

import math
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from milan_jax.errors import UserError

Layout = Literal["NCHW", "NHWC"]


def to_places(
  activations: Float[np.ndarray | jax.Array, "..."], layer: str, *, layout: Layout
) -> Float[np.ndarray | jax.Array, "batch height width units"]:
  """Gives every unit its places.

  Args:
    activations: a convolution's four axes; or `(batch, tokens, units)` of a vision
      transformer, whose first tokens, of the class and registers, are dropped and whose
      patches are arranged as the square they were cut from; or `(batch, units)`, which
      has one place.
    layer: its name, for messages.
    layout: order of the four axes.

  Raises:
    UserError: if there are no two to four axes.
  """
  if activations.ndim == 4:
    return activations.transpose(0, 2, 3, 1) if layout == "NCHW" else activations
  if activations.ndim == 3:
    batch, tokens, units = activations.shape
    side = math.isqrt(tokens)
    return activations[:, tokens - side * side :].reshape(batch, side, side, units)
  if activations.ndim == 2:
    return activations[:, None, None, :]
  raise UserError(
    f"Layer {layer} gives an array of shape {activations.shape}: expected (batch, "
    "channels, height, width), (batch, tokens, channels) or (batch, channels). "
    "Choose another layer."
  )
