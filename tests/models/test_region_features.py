"""Features of regions against numpy, pixel by pixel."""

import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.encoder import pool
from milan_jax._src.models.region_features import (
  BORDER,
  GEOMETRY,
  _by_area,
  feature_blocks,
  region_features,
)

SIZE, LEVELS = 56, ((28, 3), (7, 5))


@pytest.fixture(scope="module")
def scene():
  rng = np.random.default_rng(2)
  pyramid = tuple(
    rng.normal(size=(1, side, side, channels)).astype(np.float32)
    for side, channels in LEVELS
  )
  masks = np.zeros((1, 5, SIZE, SIZE), bool)
  masks[0, 0, 10:30, 4:12] = True  # upright
  masks[0, 1, 33, 50] = True  # one pixel
  masks[0, 2, :3] = True  # the upper edge
  masks[0, 3] = np.eye(SIZE, dtype=bool)
  features = region_features(
    tuple(map(jnp.asarray, pyramid)), jnp.asarray(masks), "placed"
  )
  return pyramid, masks, np.asarray(features)


def blocks(features):
  sizes = feature_blocks([channels for _, channels in LEVELS], "placed")
  return np.split(features, np.cumsum(sizes)[:-1], axis=-1)


@pytest.mark.device
@pytest.mark.parametrize("region", range(4))
def test_the_inside_is_the_average_over_all_pixels(scene, region):
  pyramid, masks, features = scene
  for level, found in zip(pyramid, blocks(features), strict=False):
    repeat = SIZE // level.shape[1]
    pixels = level[0].repeat(repeat, 0).repeat(repeat, 1)
    expected = pixels[masks[0, region]].mean(0)
    np.testing.assert_allclose(found[0, region], expected, atol=1e-5)


@pytest.mark.parametrize("region", range(4))
def test_the_geometry_is_that_of_the_pixels(scene, region):
  _, masks, features = scene
  found = dict(zip(GEOMETRY, blocks(features)[-1][0, region].tolist(), strict=True))
  rows, columns = np.nonzero(masks[0, region])
  y, x = ((each + 0.5) / SIZE * 2 - 1 for each in (rows, columns))
  area = len(rows) / SIZE**2
  pixel = 1 / (3 * SIZE**2)
  spread = np.sqrt([np.var(x) + pixel, np.var(y) + pixel])
  edge = 1 - 2 * BORDER
  expected = {
    "log_area": np.log2(area),
    "column": x.mean(),
    "row": y.mean(),
    "columns_std": spread[0],
    "rows_std": spread[1],
    "slant": (np.mean(x * y) - x.mean() * y.mean()) / spread.prod(),
    "filled": area / (3 * spread.prod()),
    "at_left": (x < -edge).mean(),
    "at_right": (x > edge).mean(),
    "at_top": (y < -edge).mean(),
    "at_bottom": (y > edge).mean(),
  }
  assert found == pytest.approx(expected, abs=2e-4)
  if region in (0, 1, 2):
    assert found["filled"] == pytest.approx(1, abs=1e-3), "rectangles"


def test_an_empty_mask_has_no_features(scene):
  assert not scene[2][0, 4].any()


def test_the_inside_alone_is_the_originals(scene):
  pyramid, masks, _ = scene
  arrays = tuple(map(jnp.asarray, pyramid))
  found = region_features(arrays, jnp.asarray(masks))
  np.testing.assert_array_equal(found, pool(arrays, jnp.asarray(masks)))


@pytest.mark.parametrize("size", [(7, 7), (28, 14), (5, 3), (56, 56), (90, 40)])
def test_areas_are_averaged_over_cells(size):
  rng = np.random.default_rng(1)
  areas = rng.random((1, 2, SIZE, SIZE)).astype(np.float32)
  found = _by_area(jnp.asarray(areas), size)
  # Pixels cut into parts, so that each part lies in one cell.
  parts = areas.repeat(size[0], 2).repeat(size[1], 3)
  cells = parts.reshape(1, 2, size[0], SIZE, size[1], SIZE)
  np.testing.assert_allclose(found, cells.mean((3, 5)), atol=1e-6)
