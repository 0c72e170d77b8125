"""Content words of a vocabulary."""

import numpy as np
import pytest

from milan_jax._src.text.content_words import content_words, fits_any_unit
from milan_jax._src.text.vocabulary import Vocabulary

WORDS = (
  "the",
  "edge",
  "edges",
  "of",
  "black",
  "things",
  "-",
  "no",
  "pattern",
  "people",
)


def _found(nothing=(), length=4):
  return content_words(Vocabulary(WORDS), nothing=nothing, length=length)


def test_singular_and_plural_are_one_and_grammar_is_none():
  ids = dict(zip(WORDS, _found().ids.tolist(), strict=False))
  assert ids["edge"] == ids["edges"] > 0
  assert len({ids[word] for word in ("edge", "black", "no", "pattern", "people")}) == 5
  assert [ids[word] for word in ("the", "of", "things", "-")] == [0] * 4
  assert _found().ids[len(WORDS) :].tolist() == [0] * 4


@pytest.mark.parametrize(
  ("description", "expected"),
  [
    ("Various kinds of things", True),
    ("Different parts of all kinds", True),
    ("Parts of pictures", True),
    ("Many different objects.", True),
    ("Random parts of things", True),
    ("Unrelated things", True),
    ("Random spots", False),
    ("Parts of objects", False),  # and not the background
    ("Areas of one color", False),
    ("Different parts of animals", False),
    ("The edges of the picture", False),
    ("", False),
  ],
)
def test_variety_alone_fits_any_unit(description, expected):
  assert fits_any_unit(description) == expected
  # By the tables of a vocabulary, as the choice among hypotheses goes.
  spoken = tuple(dict.fromkeys(description.lower().strip(".").split()))
  words = content_words(Vocabulary(spoken), nothing=(), length=4)
  empty = (words.ids == 0) | words.variety
  assert (bool(empty.all()) and bool(words.variety.any())) == expected
  assert len(words.variety) == len(words.ids)


def test_what_says_nothing_is_given_as_tokens():
  stop = Vocabulary(WORDS).stop_id
  sayings = ("no pattern", "no clear pattern", "no edges of things no", "pattern")
  rows = _found(sayings, length=4).nothing
  np.testing.assert_array_equal(rows, [[7, 8, stop, stop], [8, stop, stop, stop]])
  assert _found(length=3).nothing.shape == (0, 3)
