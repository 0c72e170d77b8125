"""Disturbed features: another draw of a unit's regions."""

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.training.objectives import disturbed

BATCH, K, SIZE = 40, 15, 64


def _features():
  rng = np.random.default_rng(0)
  return rng.standard_normal((BATCH, K, SIZE)).astype(np.float32)


def test_resampled_regions_are_the_units_own_and_some_come_twice():
  features = _features()
  found = np.asarray(
    disturbed(jnp.asarray(features), jax.random.key(1), noise=0.0, resample=True)
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
    disturbed(jnp.asarray(features), jax.random.key(2), noise=0.3, resample=False)
  )
  shared = found.mean(1)
  own = found - shared[:, None]
  np.testing.assert_allclose(shared.std(), 0.3 * (1 + 1 / K) ** 0.5, rtol=0.03)
  np.testing.assert_allclose(own.std(), 0.3 * (1 - 1 / K) ** 0.5, rtol=0.03)


def test_the_same_key_disturbs_alike_and_another_does_not():
  features = jnp.asarray(_features())
  options = {"noise": 0.5, "resample": True}
  first = disturbed(features, jax.random.key(3), **options)
  again = disturbed(features, jax.random.key(3), **options)
  other = disturbed(features, jax.random.key(4), **options)
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
  plain = disturbed(features, jax.random.key(3), noise=0.0, resample=False)
  np.testing.assert_array_equal(plain, features)


def test_strays_are_other_units_regions_of_the_share_that_was_drawn():
  units, k, most = 300, 40, 0.6
  own = np.broadcast_to(np.arange(units)[:, None, None], (units, k, 1))
  found = np.asarray(
    disturbed(
      jnp.asarray(own, jnp.float32),
      jax.random.key(5),
      noise=0.0,
      resample=False,
      strays=most,
    )
  )
  shares = (found != own).mean((1, 2))
  # Of a share drawn evenly from 0 to `most`, and then of k regions each.
  spread = (most**2 / 12 + (most / 2 - most**2 / 3) / k) ** 0.5
  np.testing.assert_allclose(shares.mean(), most / 2, atol=4 * spread / units**0.5)
  np.testing.assert_allclose(shares.std(), spread, rtol=0.2)
  lenders = found[found != own]
  assert len(np.unique(lenders)) > 0.9 * units


def test_a_stray_keeps_its_place_among_the_regions():
  units, k = 50, 6
  places = np.broadcast_to(np.arange(k)[None, :, None], (units, k, 1))
  found = disturbed(
    jnp.asarray(places, jnp.float32),
    jax.random.key(6),
    noise=0.0,
    resample=False,
    strays=1.0,
  )
  np.testing.assert_array_equal(found, places)
