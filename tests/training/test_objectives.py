"""Disturbed features: another draw of a unit's regions."""

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.training.objectives import augment

BATCH, K, SIZE = 40, 15, 64


def _features():
  rng = np.random.default_rng(0)
  return rng.standard_normal((BATCH, K, SIZE)).astype(np.float32)


def test_resampled_regions_are_the_units_own_and_some_come_twice():
  features = _features()
  found = np.asarray(
    augment(jnp.asarray(features), jax.random.key(1), noise=0.0, resample=True)
  )
  shares = []
  for unit in range(BATCH):
    same = (found[unit][:, None] == features[unit][None]).all(-1)
    assert (same.sum(1) == 1).all()  # each is exactly one of the unit's regions
    shares.append(same.any(0).mean())
  # A draw with replacement leaves out (1 - 1/k)^k of them: 0.355 of 15.
  np.testing.assert_allclose(np.mean(shares), 1 - (1 - 1 / K) ** K, atol=0.03)


def test_noise_has_a_part_that_a_units_regions_share():
  features = np.zeros((400, K, SIZE), np.float32)
  found = np.asarray(
    augment(jnp.asarray(features), jax.random.key(2), noise=0.3, resample=False)
  )
  shared = found.mean(1)
  own = found - shared[:, None]
  np.testing.assert_allclose(shared.std(), 0.3 * (1 + 1 / K) ** 0.5, rtol=0.03)
  np.testing.assert_allclose(own.std(), 0.3 * (1 - 1 / K) ** 0.5, rtol=0.03)


def test_the_same_key_augments_alike_and_another_does_not():
  features = jnp.asarray(_features())
  options = {"noise": 0.5, "resample": True}
  first = augment(features, jax.random.key(3), **options)
  again = augment(features, jax.random.key(3), **options)
  other = augment(features, jax.random.key(4), **options)
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
  plain = augment(features, jax.random.key(3), noise=0.0, resample=False)
  np.testing.assert_array_equal(plain, features)


def test_swapped_regions_are_other_units_and_as_many_as_drawn():
  units, k, max_swapped = 300, 40, 0.6
  own = np.broadcast_to(np.arange(units)[:, None, None], (units, k, 1))
  found = np.asarray(
    augment(
      jnp.asarray(own, jnp.float32),
      jax.random.key(5),
      noise=0.0,
      resample=False,
      max_swapped=max_swapped,
    )
  )
  shares = (found != own).mean((1, 2))
  # A uniform fraction from 0 to `max_swapped`, and then each of k regions.
  spread = (max_swapped**2 / 12 + (max_swapped / 2 - max_swapped**2 / 3) / k) ** 0.5
  np.testing.assert_allclose(
    shares.mean(), max_swapped / 2, atol=4 * spread / units**0.5
  )
  np.testing.assert_allclose(shares.std(), spread, rtol=0.2)
  donors = found[found != own]
  assert len(np.unique(donors)) > 0.9 * units


def test_a_swapped_region_keeps_its_index():
  units, k = 50, 6
  indices = np.broadcast_to(np.arange(k)[None, :, None], (units, k, 1))
  found = augment(
    jnp.asarray(indices, jnp.float32),
    jax.random.key(6),
    noise=0.0,
    resample=False,
    max_swapped=1.0,
  )
  np.testing.assert_array_equal(found, indices)
