import jax.numpy as jnp
import numpy as np

from milan_jax._src.models.word_detectors import word_log_probs
from milan_jax._src.training import fit_word_detectors as fit


def _units(number=400, size=6, seed=0):
  """Units whose features 0 and 1 say whether words 0 and 1 are said; 2 is chance."""
  rng = np.random.default_rng(seed)
  features = rng.normal(size=(number, size)) * [1, 5, 0.2, 1, 1, 3] + [0, 9, 0, 0, 1, 0]
  odds = np.stack([2 * features[:, 0] - 1, features[:, 1] - 9, np.zeros(number)], 1)
  said = rng.uniform(size=odds.shape) < 1 / (1 + np.exp(-odds))
  weights = rng.choice([1.0, 5.0], number)
  return features, said, weights


def _probabilities(detectors, features):
  found = word_log_probs(detectors, jnp.asarray(features[:, None], jnp.float32))
  return np.exp(np.asarray(found, np.float64))


def test_probabilities_are_those_that_words_are_said_with():
  features, said, weights = _units(4000)
  detectors = fit.fit_word_detectors(features, said, weights)
  fresh, truths, _ = _units(4000, seed=1)
  found = _probabilities(detectors, fresh)
  for word in range(3):
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
      here = (found[:, word] >= low) & (found[:, word] < high)
      if here.sum() >= 200:
        assert abs(found[here, word].mean() - truths[here, word].mean()) < 0.08
  assert (found[:, 0] > 0.8).sum() >= 200 and (found[:, 1] < 0.2).sum() >= 200
  assert np.ptp(found[:, 2]) < 0.2


def test_scores_for_the_calibration_are_of_units_left_out(monkeypatch):
  features, said, weights = _units(60)
  seen = []

  def calibrated(scores, *_):
    seen.append(scores)
    return 1.0, 0.0

  monkeypatch.setattr(fit, "_calibrated", calibrated)
  fit.fit_word_detectors(features, said, weights)
  share = weights / weights.sum()
  shift = share @ features
  scaled = (features - shift) / np.sqrt(share @ (features - shift) ** 2)
  targets = said - share @ said
  for unit in range(0, 60, 7):
    others = np.arange(60) != unit
    design = scaled[others] * weights[others, None]
    gram = design.T @ scaled[others] + fit.RIDGE * weights.sum() * np.eye(6)
    kernel = np.linalg.solve(gram, design.T @ targets[others])
    left_out = [scores[unit] for scores in seen]
    np.testing.assert_allclose(left_out, scaled[unit] @ kernel, rtol=1e-6, atol=1e-9)


def test_the_calibration_has_no_better_neighbor():
  rng = np.random.default_rng(0)
  scores, weights = 0.01 * rng.normal(size=300), rng.choice([1.0, 4.0], 300)
  said = rng.uniform(size=300) < 1 / (1 + np.exp(2 - 150 * scores))
  slope, offset = fit._calibrated(scores, said, weights)

  def loss(slope, offset):
    odds = slope * scores + offset
    penalty = 0.5 * (slope * scores.std()) ** 2
    return weights @ (np.logaddexp(0, odds) - said * odds) + penalty

  best = loss(slope, offset)
  for step in (1e-3, -1e-3):
    assert best < loss(slope * (1 + step), offset)
    assert best < loss(slope, offset + step)


def test_words_that_nothing_separates_have_their_rate():
  scores = np.linspace(-1, 1, 20)
  said = scores < -0.5  # a score that is worse than none
  slope, offset = fit._calibrated(scores, said, np.ones(20))
  assert slope == 0
  np.testing.assert_allclose(1 / (1 + np.exp(-offset)), said.mean())


def test_separable_words_are_calibrated_too():
  scores = np.linspace(-1, 1, 20)
  slope, offset = fit._calibrated(scores, scores > 0, np.full(20, 5.0))
  assert 0 < slope < 100 and np.isfinite(offset)


def test_words_of_enough_units_are_kept():
  captions = [[["red", "dogs"], ["a", "dog"]]] * 5 + [[["red", "cat"]]] * 4 + [[["a"]]]
  stems = {"red": "red", "dogs": "dog", "dog": "dog", "cat": "cat"}
  words, said = fit.words_said(captions, stems, range(10))
  assert words == ("dog", "red")
  np.testing.assert_array_equal(said[:, 0], [True] * 5 + [False] * 5)
  np.testing.assert_array_equal(said[:, 1], [True] * 9 + [False])


def test_words_of_all_units_have_no_detector():
  words, said = fit.words_said([[["red"]]] * 9, {"red": "red"}, range(9))
  assert words == () and said.shape == (9, 0)
