"""The masked pyramid against the original's features and torch's own resize."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from milan_jax._src.models.encoder import level_weights, pool

pytestmark = pytest.mark.device


@pytest.mark.parametrize("size", [(7, 7), (9, 5), (16, 16), (20, 24)])
def test_masks_are_resized_as_torch_does(size):
  masks = np.random.default_rng(0).random((2, 3, 16, 16)) < 0.3
  resized = torch.nn.functional.interpolate(
    torch.from_numpy(masks.astype(np.float32)),
    size=size,
    mode="bilinear",
    align_corners=False,
  ).numpy()
  expected = resized / resized.sum((-2, -1), keepdims=True)
  weights = level_weights(jnp.asarray(masks), size)
  np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_a_mask_that_vanishes_at_a_level_gives_zeros_there_only():
  masks = np.zeros((1, 1, 64, 64), bool)
  masks[0, 0, 0, 0] = True  # no center of a 4 x 4 grid is near
  pyramid = (jnp.ones((1, 64, 64, 2)), jnp.ones((1, 4, 4, 3)))
  features = pool(pyramid, jnp.asarray(masks))
  np.testing.assert_allclose(features[0, 0], [1, 1, 0, 0, 0], atol=1e-6)


def test_a_region_pools_its_own_place():
  level = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
  masks = np.zeros((1, 2, 8, 8), bool)
  masks[0, 0, 2:4, 6:8] = True  # row 1, column 3 of the level
  masks[0, 1, 6:8, 0:4] = True  # row 3, columns 0 and 1
  features = pool((jnp.asarray(level),), jnp.asarray(masks))
  np.testing.assert_allclose(features[0, :, 0], [7, 12.5], atol=1e-6)
