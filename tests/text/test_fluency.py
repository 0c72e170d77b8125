"""Broken sentences: the rules on 200 descriptions, and each rule by itself."""

import csv
import pathlib

import pytest

from milan_jax._src.text.fluency import RULES, faults, is_broken

SENTENCES = pathlib.Path(__file__).parents[1] / "data" / "sentences.csv"


def _sentences(half):
  with SENTENCES.open(encoding="utf-8", newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["half"] == half]
  return [
    [row["sentence"] for row in rows if row["grammar"] == grammar]
    for grammar in ("whole", "broken")
  ]


@pytest.mark.parametrize(("half", "recall"), [("tuning", 1.0), ("test", 0.96)])
def test_precision_and_recall_are_those_of_the_documentation(half, recall):
  whole, broken = _sentences(half)
  assert len(whole) == len(broken) == 50
  assert [sentence for sentence in whole if is_broken(sentence)] == []
  assert sum(map(is_broken, broken)) / len(broken) == recall


# A sentence that breaks the rule, and one like it that does not.
@pytest.mark.parametrize(
  ("rule", "broken", "whole"),
  [
    ("spacing", "A person 's face", "A person's face"),
    ("ending", "Dogs and cats with", "Things that people sit on"),
    ("beginning", "And red areas", "Either red or blue areas"),
    ("repetition", "The edges of of things", "Green and blue side by side"),
    ("determiner", "The heads of a", "The heads of all the dogs"),
    ("determiner", "A areas of grass", "A sports car"),
    ("adjective", "Parts of horizontal", "Parts that are horizontal"),
    ("preposition", "Things on of tables", "Things out of focus"),
    ("preposition", "Areas of and dogs", "Areas in and below roofs"),
    ("conjunction", "Edges between white", "Edges between white and black"),
    ("conjunction", "Lines from left to white", "Lines from left to right"),
    ("relative", "Places where two", "Places where two lines cross"),
    ("agreement", "Leaves that is green", "A pile of leaves that is green"),
    ("collision", "Edges of black objects edges", "Sports equipment"),
    ("object", "Objects that run edges", "Objects that run sideways"),
    ("possessive", "A dog's and a cat's head", "It's on a dog's head"),
  ],
)
def test_each_rule_by_itself(rule, broken, whole):
  assert rule in faults(broken) and faults(whole) == ()
  assert rule in RULES or rule == "spacing"


def test_every_rule_has_an_example():
  marks = test_each_rule_by_itself.pytestmark
  shown = {example[0] for example in marks[0].args[1]}
  assert shown == {"spacing", *RULES}


def test_a_text_is_broken_if_one_of_its_sentences_is():
  assert not is_broken("Red areas. The heads of dogs.")
  assert is_broken("Red areas. The heads of.") and is_broken("The heads of; red areas")
  assert is_broken("") and is_broken("...")
