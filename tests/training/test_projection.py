"""The fitted projection against NumPy's singular values, and how it is applied."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.training.projection import NOISE, QUIET, fit_projection

CHANNELS, SIZES = (7, 12), (3, 5)


def _features(units=60, k=4, seed=0):
  rng = np.random.default_rng(seed)
  mixed = rng.normal(size=(units, k, 19)) @ rng.normal(size=(19, 19))
  scales = np.exp(rng.normal(size=19) * 2)
  return (mixed * scales + rng.normal(size=19) * scales).astype(np.float32)


def _fit(features, whitening, cuts=(0, 25, 60)):
  batches = [features[a:b] for a, b in itertools.pairwise(cuts)]
  return fit_projection(batches, CHANNELS, SIZES, whitening=whitening)


def _scales(rows):
  """Deviations; what varies little beside the others counts as a twentieth of these."""
  return np.maximum(rows.std(0), QUIET * np.median(rows.std(0)))


def _components(rows, size):
  """Principal components of standardized rows, by a singular value decomposition."""
  standard = (rows - rows.mean(0)) / _scales(rows)
  _, singular, axes = np.linalg.svd(standard, full_matrices=False)
  axes = axes[:size]
  largest = np.abs(axes).argmax(1)
  axes = axes * np.sign(axes[np.arange(size), largest])[:, None]
  return standard @ axes.T, singular[:size] / len(rows) ** 0.5


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_projected_features_are_the_principal_components_of_each_level(whitening):
  features = _features()
  found = _fit(features, whitening)
  rows = features.reshape(-1, 19).astype(np.float64)
  np.testing.assert_allclose(found.shift, rows.mean(0), rtol=1e-4)
  projected = (rows - found.shift) @ found.kernel
  parts = [_components(rows[:, :7], 3), _components(rows[:, 7:], 5)]
  expected = np.concatenate(
    [components / deviations**whitening for components, deviations in parts], 1
  )
  np.testing.assert_allclose(projected, expected, atol=2e-3)
  deviations = np.concatenate([each for _, each in parts]) ** (1 - whitening)
  np.testing.assert_allclose(projected.std(0), deviations, rtol=1e-3)
  if whitening == 1:
    np.testing.assert_allclose(np.cov(projected[:, :3].T), np.eye(3), atol=0.01)


def test_levels_do_not_mix():
  kernel = _fit(_features(), 0.5).kernel
  assert kernel.shape == (19, 8)
  assert not kernel[:7, 3:].any() and not kernel[7:, :3].any()
  assert (np.abs(kernel[:7, :3]).max(0) > 0).all()


def test_signs_and_batches_decide_nothing():
  features = _features()
  one = _fit(features, 0.5)
  again = _fit(features, 0.5)
  np.testing.assert_array_equal(one.kernel, again.kernel)
  other = _fit(features, 0.5, cuts=(0, 1, 2, 59, 60))
  scale = np.abs(one.kernel).max(1, keepdims=True)
  np.testing.assert_allclose(one.kernel / scale, other.kernel / scale, atol=1e-4)
  # The largest entry of each axis, of standardized features, is positive.
  rows = features.reshape(-1, 19)
  scales = np.concatenate([_scales(rows[:, :7]), _scales(rows[:, 7:])])
  axes = one.kernel * scales[:, None]
  assert (axes[np.abs(axes).argmax(0), np.arange(8)] > 0).all()


def test_components_that_are_noise_are_not_blown_up():
  features = _features()
  features[..., 3:7] = features[..., :1]  # five of seven channels are one
  found = _fit(features, 1.0)
  projected = (features - found.shift) @ found.kernel
  spread = projected.reshape(-1, 8).std(0)
  np.testing.assert_allclose(spread[:3], 1, rtol=1e-2)
  alone = fit_projection([features], CHANNELS, (7, 5), whitening=1.0)
  assert np.isfinite(alone.kernel).all()
  axes = alone.kernel[:7] * _scales(features.reshape(-1, 19)[:, :7])[:, None]
  lengths = np.linalg.norm(axes[:, :7], axis=0)
  assert lengths.max() <= lengths.min() / NOISE**0.5 * 1.01


@pytest.mark.parametrize("number", [1, 5, 7])
def test_channels_that_hardly_vary_or_never_are_not_blown_up(number):
  features = _features()
  features[..., :number] = 0.25
  if number == 1:
    features[..., 0] += 1e-7 * np.random.default_rng(1).normal(size=(60, 4))
  found = _fit(features, 0.5)
  assert np.isfinite(found.kernel.astype(np.float16)).all()
  projected = (features - found.shift) @ found.kernel
  assert np.abs(projected).max() < 100


def test_project_equals_numpy():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(3, 4, 6)).astype(np.float32)
  projection = Projection(
    rng.normal(size=6).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
  )
  expected = np.zeros((3, 4, 2))
  for unit in range(3):
    for region in range(4):
      for channel in range(2):
        expected[unit, region, channel] = sum(
          (float(features[unit, region, i]) - float(projection.shift[i]))
          * float(projection.kernel[i, channel])
          for i in range(6)
        )
  found = project(jnp.asarray(features), projection)
  np.testing.assert_allclose(found, expected, atol=1e-4)
  flat = project(jnp.asarray(features[0, 0]), projection)
  np.testing.assert_allclose(flat, expected[0, 0], atol=1e-4)
