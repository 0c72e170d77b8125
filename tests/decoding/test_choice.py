"""Descriptions that give persons a color or judge them are not given."""

import dataclasses

import numpy as np
import pytest

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.decoding.choice import LEAST_LOG_SHARE, choose
from milan_jax._src.decoding.program import Beam, DecodedBatch
from milan_jax._src.errors import UserError
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store.feature_store import open_features
from milan_jax._src.text.content_words import content_words
from milan_jax._src.text.fluency import is_broken
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary
from tests.helpers.feature_store import write_features

WORDS = Vocabulary(("black", "people", "dogs", "old", "no", "and"))
CONTENT = content_words(WORDS, nothing=(), length=3)


def _rows(*texts):
  return np.array(
    [
      WORDS.encode(text.split(), start=False, stop=False, pad=False)
      + [WORDS.stop_id] * (3 - len(text.split()))
      for text in texts
    ]
  )


def test_a_complete_phrase_is_preferred():
  beams = (
    ("dogs dogs", "black people", "old dogs"),
    ("dogs dogs", "old people", "dogs and"),
  )
  scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
  tokens = np.stack([_rows(*each) for each in beams])
  decoded = DecodedBatch(
    tokens=tokens[:, 0],
    scores=scores[:, 0],
    log_probs=np.full(2, -1.0),
    lm_log_probs=np.full(2, -2.0),
    margins=np.ones(2),
    beam=Beam(tokens, scores, scores - 10, scores - 20),
  )
  found = choose(decoded, WORDS, CONTENT, guarded=True)
  assert [reconstruct_ids(row, WORDS) for row in found.tokens] == [
    "Old dogs",
    "Dogs dogs",
  ]
  # What is broken is better than what judges persons.
  assert found.margins.tolist() == [-2, 1]
  as_found = choose(decoded, WORDS, CONTENT, guarded=False)
  assert as_found.tokens.tolist() == tokens[:, 0].tolist()


def test_the_best_description_that_may_be_given():
  beams = (
    ("dogs", "black people", "people", "black dogs"),
    ("black people", "old people", "black dogs", "dogs"),
    ("black people", "dogs", "old people", "black people"),
    ("black people", "old people", "black people", "black people"),
  )
  scores = np.array(
    [[3.0, 4.0, 1.0, 0.0], [5.0, 4.0, 1.0, 3.0], [9.0, 8.0, 7.0, 6.0], [4, 3, 2, 1]]
  )
  scores[0, 1] = -np.inf  # not in the running
  best = scores.argmax(1)
  decoded = DecodedBatch(
    tokens=np.stack([_rows(*each)[one] for each, one in zip(beams, best, strict=True)]),
    scores=scores[np.arange(4), best],
    log_probs=np.full(4, -1.0),
    lm_log_probs=np.full(4, -2.0),
    margins=np.ones(4),
    beam=Beam(
      np.stack([_rows(*each) for each in beams]), scores, scores - 10, scores - 20
    ),
  )
  found = choose(decoded, WORDS, CONTENT, guarded=True)
  said = [reconstruct_ids(row, WORDS) for row in found.tokens]
  # The last unit has nothing that may be given: whoever shows it withholds it.
  assert said == ["Dogs", "Dogs", "Dogs", "Black people"]
  assert found.scores.tolist() == [3, 3, 8, 4]
  assert found.log_probs.tolist() == [-1, -7, -2, -1]
  assert found.lm_log_probs.tolist() == [-2, -17, -12, -2]
  assert found.margins.tolist() == [1, 2, np.inf, 1]
  assert found.beam is None
  # The hypotheses that may be given, by score; the last unit has none.
  assert found.best is not None
  kept = [
    [
      (reconstruct_ids(row, WORDS), score)
      for row, score in zip(rows, scores, strict=True)
      if np.isfinite(score)
    ]
    for rows, scores in zip(found.best.tokens, found.best.scores, strict=True)
  ]
  assert kept == [
    [("Dogs", 3), ("People", 1), ("Black dogs", 0)],
    [("Dogs", 3), ("Black dogs", 1)],
    [("Dogs", 8)],
    [],
  ]
  assert found.best.log_probs[0, :2].tolist() == [-7, -9]
  assert decoded.scores.tolist() == [3, 5, 9, 4]


@pytest.mark.parametrize("strategy", ["rerank", "greedy"])
def test_a_captioner_that_would_say_such_things(tiny, outputs, strategy, tmp_path):
  """The first two words that it says of a unit are called "black" and "people"."""
  rows = np.arange(8)
  if strategy == "rerank":
    best = outputs["rerank5/argmax_correct"]
    before = outputs["rerank5/beam_tokens"][rows, best]
  else:
    before = outputs["greedy/mi=False/tokens"]
  first, second = before[0][:2].tolist()
  vocabulary = [
    {first: "black", second: "people"}.get(place, word)
    for place, word in enumerate(tiny.vocabulary)
  ]
  decoding = Decoding(strategy, 15, 5, 0.2, guarded=True)
  told = dataclasses.replace(tiny, vocabulary=tuple(vocabulary), decoding=decoding)
  write_features(tmp_path, outputs["features"])
  found = Captioner(told).describe(open_features(tmp_path))
  texts = [entry.text for entry in found]
  expected = [reconstruct_ids(row, Vocabulary(told.vocabulary)) for row in before]
  has_beam = strategy in ("beam", "rerank")
  changed = [
    judges_persons(text) or (has_beam and is_broken(text)) for text in expected
  ]
  assert changed[0] and not all(changed)
  for text, other, judging in zip(texts, expected, changed, strict=True):
    assert not judges_persons(text) and (text == other) == (not judging)
  # A beam has other hypotheses, greedy has none.
  assert (texts[0] == "No clear pattern") == (strategy == "greedy")


def test_parity_gives_the_originals_descriptions():
  with pytest.raises(UserError, match="guarded"):
    Decoding(parity=True, guarded=True)


def test_the_best_description_that_says_something():
  words = content_words(WORDS, nothing=("no dogs", "no"), length=3)
  beams = (
    ("no dogs", "dogs", "old dogs", "no"),
    ("dogs", "no", "black dogs", "black people"),
    ("no", "black people", "no dogs", "no"),
    ("no", "no dogs", "no", "no"),
  )
  tokens = np.stack([_rows(*each) for each in beams])
  log_probs = np.log(
    [[0.4, 0.3, 0.2, 0.1], [0.5, 0.1, 0.2, 0.2], [0.6, 0.2, 0.1, 0.1], [0.25] * 4]
  )
  scores = np.tile([4.0, 3.0, 2.0, 1.0], (4, 1))
  decoded = DecodedBatch(
    tokens=tokens[:, 0],
    scores=scores[:, 0],
    log_probs=log_probs[:, 0] - 3,
    lm_log_probs=np.full(4, -2.0),
    margins=np.ones(4),
    beam=Beam(tokens, scores, log_probs - 3, scores - 20),
  )
  found = choose(decoded, WORDS, words, guarded=True)
  assert [reconstruct_ids(row, WORDS) for row in found.tokens] == [
    *("No dogs", "Dogs", "No", "No")
  ]
  something = found.something
  texts = [reconstruct_ids(row, WORDS) for row in something.found.tokens]
  # Of persons nothing may be said of the third unit; the beam of the last says nothing.
  assert texts == ["Dogs", "Dogs", "No", "No"]
  assert something.found.scores.tolist() == [3, 4, 4, 4]
  assert something.found.log_probs[0] == pytest.approx(np.log(0.3) - 3)
  assert something.found.margins.tolist() == [1, 1, 1, 1]
  shares = np.log([0.5, 0.1, 0.8, 1])
  np.testing.assert_allclose(something.nothing, shares, atol=1e-12)
  # "dogs" with "dogs", and with "old dogs" or "black dogs": F1 of 1 and 2/3.
  agreed = [0.3 + 0.2 * 2 / 3, 0.5 + 0.2 * 2 / 3]
  np.testing.assert_allclose(something.consensus[:2], np.log(agreed))
  assert (something.consensus >= LEAST_LOG_SHARE).all()


def _of_four(tokens):
  """One unit's beam of four hypotheses, the best first, with 40, 30, 20 and 10 %."""
  scores = np.array([[4.0, 3.0, 2.0, 1.0]])
  return DecodedBatch(
    tokens=tokens[:, 0],
    scores=scores[:, 0],
    log_probs=scores[:, 0],
    lm_log_probs=np.full(1, -2.0),
    margins=np.ones(1),
    beam=Beam(tokens, scores, np.log([[0.4, 0.3, 0.2, 0.1]]), scores - 20),
  )


def test_what_fits_any_unit_says_nothing():
  vocabulary = Vocabulary(("various", "kinds", "of", "things", "dogs", "random"))
  words = content_words(vocabulary, nothing=("various things",), length=4)
  beam = ("various kinds of things", "random things", "kinds of things", "dogs")
  stop = vocabulary.stop_id
  tokens = np.array(
    [
      (vocabulary.encode(text.split(), start=False, stop=False) + [stop] * 4)[:4]
      for text in beam
    ]
  )[None]
  decoded = _of_four(tokens)
  for kept, expected in ((4, "Dogs"), (3, "Various kinds of things")):
    there = np.where(np.arange(4) < kept, decoded.beam.scores, -np.inf)
    some = decoded._replace(beam=decoded.beam._replace(scores=there))
    something = choose(some, vocabulary, words, guarded=False).something
    (row,) = something.found.tokens
    assert reconstruct_ids(row, vocabulary) == expected


def test_what_ends_with_a_saying_of_nothing_says_nothing():
  words = content_words(WORDS, nothing=("no dogs", "no", ""), length=3)
  beam = ("old no dogs", "black no", "no black dogs", "old dogs")
  tokens = _rows(*beam)[None]
  decoded = _of_four(tokens)
  something = choose(decoded, WORDS, words, guarded=False).something
  (row,) = something.found.tokens
  assert reconstruct_ids(row, WORDS) == "No black dogs"
  np.testing.assert_allclose(something.nothing, np.log([0.7]))
