"""BLEU against sacrebleu's."""

import random

import pytest

from milan_jax._src.text.bleu import bleu

# Hypotheses, references, and what sacrebleu 2.6.0 gives.
CASES = [
  (
    ["red things", "blue sky and grass", "animal faces"],
    [
      ["red things", "areas that are red"],
      ["blue sky", "grass"],
      ["animal's faces", "dog faces", "eyes"],
    ],
    37.00414022461426,
  ),
  (
    [
      "the black-and-white stripes of 3-d objects, 1.5 wide",
      "people's faces (dogs)",
    ],
    [
      ["black-and-white stripes, 3-d"],
      ["faces of people; dogs", "people's faces (of dogs)"],
    ],
    22.26017979447959,
  ),
  (["a a a a a a", "b"], [["a"], ["b c d e f"]], 9.287528999566801),
  (["nothing alike"], [["quite another text here"]], 0.0),
  (
    ["the cat sat on the mat today", "on the mat the cat sat"],
    [["the cat sat on the mat", "there is a cat on the mat"], ["the cat sat on a mat"]],
    59.837900783676936,
  ),
]


@pytest.mark.parametrize(("hypotheses", "references", "expected"), CASES)
def test_it_is_what_sacrebleu_gives(hypotheses, references, expected):
  assert bleu(hypotheses, references) == pytest.approx(expected, abs=1e-9)


def test_random_sentences_with_marks_give_what_sacrebleu_gives():
  draw = random.Random(0)
  words = "a b c d dog's red-green 1.5 , ; ( ) it's x/y & \" 10,000 u.s.".split()
  said = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(40)]
  known = [
    [
      " ".join(draw.choices(words, k=draw.randint(1, 12)))
      for _ in range(draw.randint(1, 4))
    ]
    for _ in said
  ]
  for i in range(0, 40, 2):
    known[i].append(said[i][: len(said[i]) * 2 // 3] or "a")
  assert bleu(said, known) == pytest.approx(42.84797705287321, abs=1e-9)


def test_short_captions_are_scored_by_the_orders_that_they_have():
  assert bleu(["red things", "sky"], [["red things"], ["sky"]]) == pytest.approx(100)
  assert 0 < bleu(["red things"], [["blue things"]]) < 100
  assert bleu([""], [["blue things"]]) == 0
