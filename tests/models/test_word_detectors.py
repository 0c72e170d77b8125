import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.word_detectors import (
  NEARLY_CERTAIN,
  UNKNOWN,
  WordDetectors,
  covered,
  detected,
  mean_features,
  mean_log_odds,
  member_logits,
  word_log_probs,
)

RNG = np.random.default_rng(0)


SIZE, HIDDEN, WORDS = 5, 8, 6
# Hidden layers and networks.
SHAPES = [(1, 1), (2, 1), (1, 3), (3, 2)]
of_every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def _params(shape):
  layers, members = shape
  model = WordDetectors(WORDS, HIDDEN, hidden_layers=layers, members=members)
  params = model.init(jax.random.key(0), jnp.zeros((1, SIZE)))["params"]
  return model, jax.tree.map(
    lambda x: jnp.asarray(RNG.normal(size=x.shape), x.dtype), params
  )


def _log_probs(params, mean, shape):
  """By numpy in float64, with the GELU's tanh written out."""
  layers, members = shape
  names = ["hidden", "hidden_2", "hidden_3"][:layers]
  probs = []
  for member in range(members):

    def of(name, part, member=member):
      values = np.asarray(params[name][part], np.float64)
      return values if members == 1 else values[member]

    x = mean.astype(np.float64)
    for name in names:
      x = x @ of(name, "kernel") + of(name, "bias")
      x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    logits = x @ of("output", "kernel") + of("output", "bias")
    probs.append(1 / (1 + np.exp(-logits)))
  return np.log(np.mean(probs, 0))


def test_the_mean_is_over_regions_that_count():
  features = RNG.normal(size=(3, 4, SIZE)).astype("f4")
  np.testing.assert_allclose(mean_features(features), features.mean(1), atol=1e-6)
  found = np.asarray(mean_features(features, jnp.array([2, 4, 0])))
  np.testing.assert_allclose(found[0], features[0, :2].mean(0), atol=1e-6)
  np.testing.assert_allclose(found[1], features[1].mean(0), atol=1e-6)
  assert not found[2].any()


@of_every_shape
def test_log_probs_are_of_the_mean_of_the_networks(shape):
  _, params = _params(shape)
  features = RNG.normal(size=(3, 4, SIZE)).astype("f4")
  counts = np.array([4, 2, 1])
  found = word_log_probs(params, jnp.asarray(features), jnp.asarray(counts))
  for unit, count, row in zip(features, counts, found, strict=True):
    expected = _log_probs(params, unit[:count].mean(0), shape)
    np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)


@of_every_shape
def test_the_module_computes_what_the_functions_do(shape):
  model, params = _params(shape)
  means = jnp.asarray(RNG.normal(size=(7, SIZE)), jnp.float32)
  found = model.apply({"params": params}, means)
  expected = mean_log_odds(member_logits(params, means))
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_networks_begin_apart():
  model = WordDetectors(WORDS, HIDDEN, hidden_layers=2, members=2)
  params = model.init(jax.random.key(0), jnp.zeros((1, SIZE)))["params"]
  for layer in params.values():
    assert (np.asarray(layer["kernel"][0]) != np.asarray(layer["kernel"][1])).all()


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


@pytest.mark.parametrize("seed", [0, 1])
def test_a_hypothesis_covers_the_words_that_are_nearly_certain(seed):
  rng = np.random.default_rng(seed)
  numbers = np.array([0, 3, 1, 0, 2, 3, 0])
  log_probs = np.log(rng.uniform(0.5, 1, size=(4, 3))).astype("f4")
  tokens = rng.integers(0, len(numbers), (4, 5, 6))
  found = covered(jnp.asarray(log_probs), tokens, numbers)
  assert 0 < np.mean(np.exp(log_probs) > NEARLY_CERTAIN) < 1
  for unit in range(4):
    for place in range(5):
      said = {numbers[token] for token in tokens[unit, place]} - {0}
      probs = np.exp([log_probs[unit, number - 1] for number in said])
      expected = np.log(probs[probs > NEARLY_CERTAIN] / NEARLY_CERTAIN).sum()
      np.testing.assert_allclose(found[unit, place], expected, atol=1e-5)
