"""The region encoder: a masked pyramid of a backbone's activations.

Source: Hernandez et al. 2022, section 3. The image alone decides the activations and
the mask only their pooling: a backbone runs once per image, `pool` once per region.
"""

from typing import NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Pyramid = tuple[Float[Array, "batch _ _ _"], ...]


def _resize_axis(arrays: Float[Array, "*shape"], axis: int, target: int) -> Array:
  """Resizes one axis: bilinear, half-pixel centers, edges replicated.

  Without antialiasing, like the original, which uses only the two nearest pixels of the
  mask; small masks therefore vanish at coarse levels.
  """
  size = arrays.shape[axis]
  centers = (np.arange(target) + 0.5) * size / target - 0.5
  centers = np.clip(centers, 0, size - 1)
  low = np.floor(centers).astype(int)
  high = np.minimum(low + 1, size - 1)
  share = jnp.asarray(centers - low, jnp.float32)
  share = jnp.expand_dims(share, [i for i in range(arrays.ndim) if i != axis])
  near, far = (_pick(arrays, axis, indices) for indices in (low, high))
  return near * (1 - share) + far * share


def _pick(arrays: Array, axis: int, indices: np.ndarray) -> Array:
  """Takes indices along an axis; if evenly spaced, by a slice, which is much faster."""
  steps = np.unique(np.diff(indices))
  if steps.size == 1 and steps[0] > 0:
    stop = int(indices[-1]) + 1
    return jax.lax.slice_in_dim(arrays, int(indices[0]), stop, int(steps[0]), axis)
  return jnp.take(arrays, indices, axis)


def level_weights(
  masks: Bool[Array, "batch regions height width"], size: tuple[int, int]
) -> Float[Array, "batch regions level_height level_width"]:
  """Resizes masks to one level and normalizes each to sum 1.

  A mask that vanishes at the level (its sum is zero within 1e-8) gives zeros.
  """
  rows = _resize_axis(masks.astype(jnp.float32), 2, size[0])
  weights = _resize_axis(rows, 3, size[1])
  sums = weights.sum(axis=(-2, -1), keepdims=True)
  return jnp.where(sums <= 1e-8, 0.0, weights / jnp.where(sums <= 1e-8, 1.0, sums))


def average(
  level: Float[Array, "batch height width channels"],
  weights: Float[Array, "batch regions height width"],
) -> Float[Array, "batch regions channels"]:
  """Weighted sums of one level's activations, in full float32."""
  return jnp.einsum(
    "brhw,bhwc->brc", weights, level, precision=jax.lax.Precision.HIGHEST
  )


def pool(
  pyramid: Pyramid, masks: Bool[Array, "batch regions height width"]
) -> Float[Array, "batch regions features"]:
  """Averages every level's activations over each region and concatenates the levels.

  The products are in full float32 on every device.

  Args:
    pyramid: activations of each image, one NHWC array a level.
    masks: regions of each image, at the image's size.
  """
  pooled = [
    average(level, level_weights(masks, (level.shape[1], level.shape[2])))
    for level in pyramid
  ]
  return jnp.concatenate(pooled, axis=-1)


class Projection(NamedTuple):
  """Normalizes a region's features and usually reduces their number.

  Attributes:
    shift: the vector that is subtracted from the pooled features.
    kernel: the matrix that they are then multiplied by.
  """

  shift: Float[np.ndarray | Array, "features"]
  kernel: Float[np.ndarray | Array, "features projected"]


@overload
def project(
  features: Float[np.ndarray, "*lead features"], projection: Projection
) -> Float[np.ndarray, "*lead projected"]: ...


@overload
def project(
  features: Float[Array, "*lead features"], projection: Projection
) -> Float[Array, "*lead projected"]: ...


def project(
  features: Float[np.ndarray | Array, "*lead features"], projection: Projection
) -> Float[np.ndarray | Array, "*lead projected"]:
  """Projects pooled features to the captioner's inputs.

  NumPy arrays stay on the host, JAX arrays on their device, where the program that
  calls this decides the precision of the product, as `Decoder` does.
  """
  shift = projection.shift.reshape((1,) * (features.ndim - 1) + (-1,))
  return (features - shift) @ projection.kernel
