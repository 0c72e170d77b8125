import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.word_detectors import (
  UNKNOWN,
  WordDetectors,
  detected,
  mean_features,
  word_log_probs,
  word_logits,
)

RNG = np.random.default_rng(0)


SIZE, HIDDEN, WORDS = 5, 8, 6


def _params():
  model = WordDetectors(WORDS, HIDDEN)
  params = model.init(jax.random.key(0), jnp.zeros((1, SIZE)))["params"]
  return model, jax.tree.map(
    lambda x: jnp.asarray(RNG.normal(size=x.shape), x.dtype), params
  )


def _log_probs(params, mean):
  """By numpy in float64, with the GELU's tanh written out."""
  hidden, output = (
    [np.asarray(params[name][part], np.float64) for part in ("kernel", "bias")]
    for name in ("hidden", "output")
  )
  x = mean.astype(np.float64) @ hidden[0] + hidden[1]
  x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
  return -np.logaddexp(0, -(x @ output[0] + output[1]))


def test_the_mean_is_over_regions_that_count():
  features = RNG.normal(size=(3, 4, SIZE)).astype("f4")
  np.testing.assert_allclose(mean_features(features), features.mean(1), atol=1e-6)
  found = np.asarray(mean_features(features, jnp.array([2, 4, 0])))
  np.testing.assert_allclose(found[0], features[0, :2].mean(0), atol=1e-6)
  np.testing.assert_allclose(found[1], features[1].mean(0), atol=1e-6)
  assert not found[2].any()


def test_log_probs_are_of_a_network_with_one_hidden_layer():
  _, params = _params()
  features = RNG.normal(size=(3, 4, SIZE)).astype("f4")
  counts = np.array([4, 2, 1])
  found = word_log_probs(params, jnp.asarray(features), jnp.asarray(counts))
  for unit, count, row in zip(features, counts, found, strict=True):
    np.testing.assert_allclose(row, _log_probs(params, unit[:count].mean(0)), rtol=1e-4)


def test_the_module_computes_what_the_function_does():
  model, params = _params()
  means = jnp.asarray(RNG.normal(size=(7, SIZE)), jnp.float32)
  found = model.apply({"params": params}, means)
  np.testing.assert_allclose(found, word_logits(params, means), rtol=1e-4, atol=1e-5)


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
