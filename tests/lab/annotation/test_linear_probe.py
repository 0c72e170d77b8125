"""Words read from features, where the answer is known."""

import numpy as np

from milan_jax._src.lab.annotation.linear_probe import _area, probe_words


def test_the_area_counts_pairs():
  scores = np.array([0.1, 0.9, 0.4, 0.8, 0.3])
  positive = np.array([False, True, True, False, False])
  pairs = [
    scores[one] > scores[other]
    for one in np.flatnonzero(positive)
    for other in np.flatnonzero(~positive)
  ]
  assert _area(scores, positive) == np.mean(pairs)


def test_words_that_features_hold_are_read_and_others_are_not():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(400, 20))
  folds = rng.integers(0, 4, 400)
  linear = features[:, :3] > 0.5
  chance = rng.random((400, 3)) < 0.3
  assert probe_words(features, linear, folds) > 0.95
  assert 0.4 < probe_words(features, chance, folds) < 0.6
  assert probe_words(features[:, 3:], linear, folds) < 0.6
