"""The words that word detectors learn."""

import numpy as np

from milan_jax._src.training import detected_words as words

TOKENS = ("a", "red", "dog", "dogs", "of", "sky", "nose", "rare", "thing")
CAPTIONS = [
  [["red", "dogs"], ["a", "dog", "nose"]],
  [["red", "sky"], ["rare", "thing"]],
  [["red", "nose", "of", "dogs"]],
  [["a", "red", "thing", "unknown"]],
]


def _said():
  return words.words_of_units(CAPTIONS, TOKENS)


def test_words_of_a_unit_are_content_words_of_the_vocabulary():
  assert _said() == [{"red", "dog", "nose"}, {"red", "sky", "rare"}, *_said()[2:]]
  assert _said()[2:] == [{"red", "nose", "dog"}, {"red"}]


def test_words_of_one_unit_or_of_all_have_no_detector():
  assert words.detected_words(_said(), range(4)) == ("dog", "nose")
  # Without the last two units "dog" and "nose" are of one.
  assert words.detected_words(_said(), [0, 1]) == ()
  assert words.detected_words(_said(), [0, 1, 2, 0]) == ("dog", "nose")


def test_samples_are_the_words_of_units():
  found = words.word_samples(_said(), ("dog", "nose", "sky"), [2, 1, 3, 1])
  assert found.rows.tolist() == [2, 1, 3, 1]
  assert found.tokens.tolist() == [
    [3, 0, 1, 3],
    [3, 2, 3, 4],
    [3, 3, 4, 4],
    [3, 2, 3, 4],
  ]


def test_log_odds_count_samples():
  samples = words.word_samples(_said(), ("dog", "red", "sky"), [0, 1, 2, 2])
  found = words.log_odds(samples, 3)
  np.testing.assert_allclose(
    found, np.log([3.5 / 1.5, 4.5 / 0.5, 1.5 / 3.5]), rtol=1e-6
  )
