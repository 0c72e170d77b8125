"""The region encoder: a masked pyramid of a backbone's activations.

Source: Hernandez et al. 2022, section 3. The image alone decides the activations and
the mask only their pooling: a backbone runs once per image, `pool` once per region.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Pyramid = tuple[Float[Array, "batch _ _ _"], ...]


def _resize_matrix(size: int, target: int) -> Float[np.ndarray, "{target} {size}"]:
  """Bilinear weights, half-pixel centres, no antialiasing, edges replicated.

  An antialiased resize would look at every pixel of the mask; the original looks at
  the two nearest only, so that small masks vanish at coarse levels.
  """
  centres = (np.arange(target) + 0.5) * size / target - 0.5
  centres = np.clip(centres, 0, size - 1)
  low = np.floor(centres).astype(int)
  high = np.minimum(low + 1, size - 1)
  weights = np.zeros((target, size), np.float32)
  np.add.at(weights, (np.arange(target), low), 1 - (centres - low))
  np.add.at(weights, (np.arange(target), high), centres - low)
  return weights


def level_weights(
  masks: Bool[Array, "batch regions height width"], size: tuple[int, int]
) -> Float[Array, "batch regions level_height level_width"]:
  """Resizes masks to one level and normalises each to sum 1.

  A mask that vanishes at the level (its sum is zero within 1e-8) gives zeros.
  """
  rows = jnp.asarray(_resize_matrix(masks.shape[-2], size[0]))
  columns = jnp.asarray(_resize_matrix(masks.shape[-1], size[1]))
  floats = masks.astype(jnp.float32)
  weights = jnp.einsum("hy,bryx,wx->brhw", rows, floats, columns)
  sums = weights.sum(axis=(-2, -1), keepdims=True)
  return jnp.where(sums <= 1e-8, 0.0, weights / jnp.where(sums <= 1e-8, 1.0, sums))


def pool(
  pyramid: Pyramid, masks: Bool[Array, "batch regions height width"]
) -> Float[Array, "batch regions features"]:
  """Averages every level's activations over each region and concatenates the levels.

  Args:
    pyramid: activations of each image, one NHWC array a level.
    masks: regions of each image, at the image's size.
  """
  pooled = [
    jnp.einsum(
      "brhw,bhwc->brc", level_weights(masks, (level.shape[1], level.shape[2])), level
    )
    for level in pyramid
  ]
  return jnp.concatenate(pooled, axis=-1)
