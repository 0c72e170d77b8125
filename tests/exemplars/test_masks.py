import numpy as np
import pytest
import torch

from milan_jax._src.exemplars.masks import activation_masks, neighbors


def upsampled(maps, size):
  """Torch's own bilinear sampling, with zeros outside the map."""
  centers = (2 * np.arange(size) + 1) / size - 1
  grid = np.stack(np.meshgrid(centers, centers), axis=-1)[None]
  flat = torch.from_numpy(maps.reshape(1, -1, *maps.shape[-2:]))
  return (
    torch.nn.functional.grid_sample(
      flat,
      torch.from_numpy(grid.astype(np.float32)),
      mode="bilinear",
      padding_mode="zeros",
      align_corners=False,
    )
    .numpy()
    .reshape(*maps.shape[:-2], size, size)
  )


@pytest.mark.parametrize("shape", [(7, 7), (4, 4), (2, 3), (1, 5), (16, 9)])
@pytest.mark.parametrize("size", [8, 21, 32])
def test_masks_equal_torch_sampling(shape, size):
  rng = np.random.default_rng(0)
  maps = rng.standard_normal((5, 3, *shape)).astype(np.float32)
  thresholds = rng.uniform(-0.5, 0.5, (5, 3)).astype(np.float32)
  values = upsampled(maps, size)
  masks = activation_masks(maps, thresholds, size=size)
  clear = np.abs(values - thresholds[..., None, None]) > 1e-5
  np.testing.assert_array_equal(
    masks[clear], (values > thresholds[..., None, None])[clear]
  )
  assert clear.mean() > 0.99


def test_ones_fall_off_to_the_zeros_around_them():
  _, _, before, after = neighbors(2, 8)
  weights = before + after
  np.testing.assert_allclose(weights[0] * weights[0], 0.390625)
  np.testing.assert_allclose(weights[3] * weights[3], 1)
  corner = activation_masks(
    np.ones((1, 2, 2), np.float32), np.array([0.39], np.float32), size=8
  )
  assert corner.all()
  corner = activation_masks(
    np.ones((1, 2, 2), np.float32), np.array([0.391], np.float32), size=8
  )
  assert corner.sum() == 60


def test_zeros_around_a_map_do_not_exceed_a_negative_threshold():
  rng = np.random.default_rng(0)
  maps = rng.standard_normal((8, 3, 4)).astype(np.float32) - 2
  thresholds = np.array([-3, -2, -1.5, -1, -0.5, 0, 0.1, 0.3], np.float32)
  around = np.minimum(thresholds, 0)
  want = np.empty((8, 30, 32))
  for index, (own, ring) in enumerate(zip(maps, around, strict=True)):
    whole = np.pad(own, 1, constant_values=ring)
    rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in ((30, 3), (32, 4)))
    wide = np.stack([np.interp(columns, np.arange(-1, 5), row) for row in whole])
    tall = [np.interp(rows, np.arange(-1, 4), column) for column in wide.T]
    want[index] = np.stack(tall, axis=1)
  masks = activation_masks(maps, thresholds, size=(30, 32), bounded=True)
  levels = thresholds[:, None, None]
  clear = np.abs(want - levels) > 1e-5
  np.testing.assert_array_equal(masks[clear], (want > levels)[clear])
  # Otherwise, as in the original, the edge is marked although no position exceeds -1.
  low = np.full((1, 3, 4), -1.5, np.float32)
  original = activation_masks(low, np.float32([-1]), size=32)
  assert original[0, 0].all()
  assert not activation_masks(low, np.float32([-1]), size=32, bounded=True).any()


def test_one_place_is_constant_and_the_comparison_strict():
  maps = np.array([0.5, 0.5, 0.5], np.float32)[:, None, None]
  thresholds = np.array([0.4, 0.5, 0.6], np.float32)
  masks = activation_masks(maps, thresholds, size=4)
  assert masks.shape == (3, 4, 4)
  assert masks.all(axis=(1, 2)).tolist() == [True, False, False]
  assert masks.any(axis=(1, 2)).tolist() == [True, False, False]


def test_a_value_at_the_threshold_does_not_exceed_it():
  # At the map's own size every weight is 0 or 1, and sums are exact.
  maps = np.array([[[1, 2], [3, 4]]], np.float32)
  mask = activation_masks(maps, np.array([3], np.float32), size=2)
  assert mask.tolist() == [[[False, False], [False, True]]]


def test_height_and_width_are_not_mixed_up():
  maps = np.zeros((1, 2, 4), np.float32)
  maps[0, 0] = 1
  mask = activation_masks(maps, np.array([0.3], np.float32), size=8)[0]
  assert mask[:4].all()
  assert not mask[6:].any()


@pytest.mark.parametrize(("length", "size"), [(7, 32), (16, 9), (1, 4), (3, 3)])
def test_a_pixel_is_between_its_neighbors(length, size):
  before, after, *weights = neighbors(length, size)
  matrix = np.zeros((size, length), np.float32)
  for places, some in zip((before, after), weights, strict=True):
    np.add.at(matrix, (np.arange(size), places), some)
  centers = (np.arange(size) + 0.5) * length / size - 0.5
  distances = np.abs(centers[:, None] - np.arange(length))
  np.testing.assert_allclose(matrix, np.maximum(0, 1 - distances), atol=1e-6)


def test_a_mask_is_the_same_whatever_is_made_with_it():
  rng = np.random.default_rng(3)
  maps = rng.standard_normal((40, 14, 14)).astype(np.float32)
  # Thresholds that a value of the upsampled map equals: the least error shows.
  before, after, left, right = neighbors(14, 224)
  wide = maps[..., before] * left + maps[..., after] * right
  thresholds = wide[:, before[50]][:, 77] * left[50]
  thresholds += wide[:, after[50]][:, 77] * right[50]
  whole = activation_masks(maps, thresholds, size=224)
  for place in (0, 17, 39):
    some = slice(place, place + 1)
    alone = activation_masks(maps[some], thresholds[some], size=224)
    np.testing.assert_array_equal(alone[0], whole[place])
  assert not whole[:, 50, 77].any()


def test_a_side_is_positive():
  with pytest.raises(ValueError, match="positive"):
    activation_masks(np.ones((1, 2, 2), np.float32), np.ones(1, np.float32), size=0)
