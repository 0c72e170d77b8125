"""Random numbers do not depend on the kind of keys that JAX makes by default."""

import jax
import numpy as np

import milan_jax
from milan_jax._src.runs.random_keys import key_of, random_key
from tests.api.conftest import scene  # noqa: F401


def test_a_seed_gives_the_same_key():
  expected = jax.random.key_data(jax.random.key(7, impl="threefry2x32"))
  with jax.default_prng_impl("rbg"):
    key = random_key(7)
    again = key_of(jax.random.key_data(key))
  for each in (key, again):
    np.testing.assert_array_equal(jax.random.key_data(each), expected)


def test_descriptions_are_sampled_alike(scene):  # noqa: F811
  _, names = scene
  options = milan_jax.DecodingOptions(strategy="sample", seed=3)
  captioner, features = names["captioner"], names["features"]
  expected = captioner.describe(features, options=options)
  with jax.default_prng_impl("rbg"):
    found = milan_jax.Captioner(captioner.release).describe(features, options=options)
  assert found == expected
  assert len({each.text for each in found}) > 1
