import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.word_detectors import (
  UNKNOWN,
  WordDetectors,
  detected,
  mean_features,
  word_log_probs,
)

RNG = np.random.default_rng(0)


def _regions():
  """Three units of four regions: all seen, one with an empty mask, and none seen."""
  features = RNG.normal(size=(3, 4, 5)).astype("f4")
  features[1, 2] = 0
  features[2] = 0
  return features


def test_the_mean_is_over_regions_that_are_seen():
  features = _regions()
  found = np.asarray(mean_features(features))
  np.testing.assert_allclose(found[0], features[0].mean(0), rtol=1e-5)
  np.testing.assert_allclose(found[1], features[1, [0, 1, 3]].mean(0), rtol=1e-5)
  assert not found[2].any()


def test_the_mean_is_over_regions_that_count():
  features = _regions()
  found = np.asarray(mean_features(features, jnp.array([2, 3, 1])))
  np.testing.assert_allclose(found[0], features[0, :2].mean(0), rtol=1e-5)
  np.testing.assert_allclose(found[1], features[1, :2].mean(0), rtol=1e-5)
  assert not found[2].any()


def test_log_probs_are_of_linear_classifiers():
  features = _regions()
  shift, kernel = RNG.normal(size=5), RNG.normal(size=(5, 6))
  bias = RNG.normal(size=6)
  detectors = WordDetectors(*(np.float32(x) for x in (shift, kernel, bias)))
  found = word_log_probs(detectors, jnp.asarray(features))
  logits = (features[0].mean(0) - shift) @ kernel + bias
  np.testing.assert_allclose(found[0], -np.log1p(np.exp(-logits)), rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_hypothesis_has_the_mean_of_its_words(seed):
  rng = np.random.default_rng(seed)
  numbers = np.array([0, 3, 1, 0, 2, 3, 0])
  log_probs = -rng.exponential(size=(4, 3)).astype("f4")
  tokens = rng.integers(0, len(numbers), (4, 5, 3))
  tokens[:, 0] = 6  # no word has a detector
  mean = detected(jnp.asarray(log_probs), tokens, numbers)
  for unit in range(4):
    for place in range(5):
      own = [log_probs[unit, numbers[t] - 1] for t in tokens[unit, place] if numbers[t]]
      own = own or [UNKNOWN]
      np.testing.assert_allclose(mean[unit, place], np.mean(own), rtol=1e-5)
