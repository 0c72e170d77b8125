"""Words, and what the judges make of them."""

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.text.judge import Truth, Verdict, judge, read_truth
from milan_jax._src.text.wording import is_refusal, said, singular, words

DOG_HEAD = Truth(
  "dog heads",
  frozenset({"dog", "puppy", "animal"}),
  (frozenset({"dog", "puppy"}), frozenset({"head", "face"})),
)


@pytest.mark.parametrize(
  ("plural", "one"),
  [
    *(("dogs", "dog"), ("boxes", "box"), ("puppies", "puppy"), ("cookies", "cookie")),
    *(
      ("leaves", "leaf"),
      ("people", "person"),
      ("buses", "bus"),
      ("churches", "church"),
    ),
    *(
      ("potatoes", "potato"),
      ("shoes", "shoe"),
      ("horses", "horse"),
      ("wolves", "wolf"),
    ),
    *(("lenses", "lens"), ("houses", "house"), ("glasses", "glass"), ("mice", "mouse")),
    *(("ties", "tie"), ("grass", "grass"), ("iris", "iris"), ("octopus", "octopus")),
  ],
)
def test_number_does_not_matter(plural, one):
  assert singular(plural) == singular(one)


def test_words_are_plain():
  assert words("The dog's grey-blue EARS, up and down.") == (
    *("the", "dog", "gray", "blue", "ear", "up-and-down"),
  )


def test_what_is_denied_is_not_said():
  assert said("Dogs without heads") == ("dog",)
  assert said("Animals except dogs") == ("animal",)
  assert said("no dogs") == ()


@pytest.mark.parametrize(
  ("text", "lenient", "strict"),
  [
    ("Faces of dogs", True, True),
    ("dogs", True, False),
    ("Animal heads", True, False),
    ("heads", False, False),
    ("dogmatic heads", False, False),
    ("Cats, and not dogs", False, False),
  ],
)
def test_lenient_and_strict(text, lenient, strict):
  assert judge(text, DOG_HEAD) == Verdict(lenient, strict, False)


def test_phrases_stand_together():
  truth = Truth("x", frozenset({"living room"}))
  assert judge("dark living rooms", truth).lenient
  assert not judge("a room for the living", truth).lenient


def test_no_clear_pattern_is_right_of_nothing_alone():
  nothing = Truth("noise", negative=True)
  for text in ("No clear pattern", "no clear pattern."):
    assert is_refusal(text)
    assert judge(text, nothing) == Verdict(True, True, True)
    assert judge(text, DOG_HEAD) == Verdict(False, False, True)
  assert judge("dogs", nothing) == Verdict(False, False, False)
  assert not is_refusal("A clear pattern") and not is_refusal("")


def test_truths_are_read():
  entry = {
    "unit": 0,
    "concept": "dog heads",
    "lenient": ["dog"],
    "strict": [["dog"], ["head"]],
    "references": ["heads of dogs"],
  }
  found = read_truth(entry, "here")
  assert judge("a dog's head", found).strict and found.references == ("heads of dogs",)
  assert read_truth({"concept": "x", "negative": True}, "here").negative
  with pytest.raises(UserError, match="here: expected an object"):
    read_truth({"concept": "x"}, "here")
