import numpy as np
import pytest
import torch

from milan_jax._src.lab.corpus import filters


def test_smoothing_equals_a_direct_sum():
  rng = np.random.default_rng(0)
  image = rng.random((20, 20), np.float32)
  radius = 4
  offsets = np.arange(-radius, radius + 1)
  weights = np.exp(-(offsets**2) / 2)
  weights /= weights.sum()
  wide = np.pad(image, radius, mode="edge")
  expected = sum(
    a * b * wide[radius + i : radius + i + 20, radius + j : radius + j + 20]
    for a, i in zip(weights, offsets, strict=True)
    for b, j in zip(weights, offsets, strict=True)
  )
  np.testing.assert_allclose(filters.filtered(image, 1.0), expected, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.8, 1.6, 5.0])
def test_slopes_and_curvatures_of_known_surfaces(sigma):
  rows, columns = np.mgrid[:64, :64].astype(np.float32)
  surface = 3 * rows - 2 * columns
  middle = slice(24, 40), slice(24, 40)
  for kwargs, expected in (({"down": 1}, 3), ({"right": 1}, -2)):
    found = filters.filtered(surface, sigma, **kwargs)[middle]
    np.testing.assert_allclose(found, expected, atol=1e-3)
  bowl = (rows - 32) ** 2 - 0.5 * (columns - 32) ** 2 + (rows - 32) * (columns - 32)
  for kwargs, expected in (
    ({"down": 2}, 2),
    ({"right": 2}, -1),
    ({"down": 1, "right": 1}, 1),
  ):
    found = filters.filtered(bowl, sigma, **kwargs)[middle]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_stack_is_filtered_map_by_map():
  stack = np.random.default_rng(0).random((3, 12, 12), np.float32)
  found = filters.filtered(stack, 1.2, down=1)
  for one, expected in zip(found, stack, strict=True):
    np.testing.assert_array_equal(one, filters.filtered(expected, 1.2, down=1))


def test_halving_takes_the_mean_of_each_cell():
  cells = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
  np.testing.assert_array_equal(
    filters.halved(cells), np.array([[[2.5, 4.5], [10.5, 12.5]]], np.float32)
  )


@pytest.mark.parametrize("grid", [7, 14, 112])
def test_upsampling_equals_torch_on_a_map_framed_with_zeros(grid):
  maps = np.random.default_rng(grid).random((2, grid, grid), np.float32)
  factor = 224 // grid
  framed = torch.nn.functional.pad(torch.from_numpy(maps)[None], (1, 1, 1, 1))
  large = torch.nn.functional.interpolate(
    framed, scale_factor=factor, mode="bilinear", align_corners=False
  )[0, :, factor:-factor, factor:-factor]
  np.testing.assert_allclose(filters.upsampled(maps, 224), large.numpy(), atol=1e-6)


@pytest.mark.parametrize(("size", "sigma"), [(7, 1.0), (14, 1.4), (28, 2.8)])
def test_maxima_of_random_fields_are_anywhere(size, sigma):
  rng = np.random.default_rng(0)
  border, number = 0, 500
  for _ in range(number):
    field = filters.random_field(size, sigma, rng)
    assert field.shape == (size, size)
    assert (field.min(), field.max()) == (0, 1)
    place = np.unravel_index(field.argmax(), field.shape)
    border += min(*place, *(size - 1 - np.array(place))) == 0
  # Slopes end at the border, so it has more maxima than its share of the cells. With
  # repeated borders it had 89 to 97 % of them.
  expected = np.mean(list(_maxima_of_large_fields(size, sigma, number)))
  assert abs(border / number - expected) < 0.09


def _maxima_of_large_fields(size, sigma, number):
  """Whether maxima in the middle of large smooth fields are at the middle's border."""
  rng = np.random.default_rng(1)
  offsets = np.arange(-4 * size, 4 * size + 1)
  kernel = np.exp(-(offsets**2) / (2 * sigma**2))
  for _ in range(number):
    noise = rng.random((9 * size, 9 * size))[: len(offsets) + size]
    rows = [kernel @ noise[i : i + len(offsets)] for i in range(size)]
    field = np.array(
      [[row[j : j + len(offsets)] @ kernel for j in range(size)] for row in rows]
    )
    place = np.unravel_index(field.argmax(), field.shape)
    yield min(*place, *(size - 1 - np.array(place))) == 0
