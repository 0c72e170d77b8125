"""What is right of a unit, by hand, and by the judge on the corpus's own captions."""

import pytest

from milan_jax._src.lab.corpus import concepts, named_concepts, photo_scenes
from milan_jax._src.lab.corpus import unit_truths as truth
from milan_jax._src.lab.corpus.scenes import Scene
from milan_jax._src.text.judge import judge, read_truth

TABLE = {concept.name: concept for concept in concepts.table()}


def _truth(concept, lenient, strict):
  entry = truth.entry(
    0,
    concept.name,
    lenient=lenient,
    strict=strict,
    references=concept.phrasings[:3],
    family=concept.family,
  )
  return read_truth(entry, "here")


@pytest.mark.parametrize(
  ("name", "lenient", "strict"),
  [
    ("red", {"red"}, [{"red"}]),
    ("dark red", {"dark", "red", "maroon"}, [{"dark", "black"}, {"red"}]),
    ("tan", {"tan", "beige", "brown"}, [{"tan", "beige", "brown"}]),
    ("blue and white", {"blue", "white"}, [{"blue"}, {"white"}]),
    ("smooth red", {"smooth", "red"}, [{"smooth", "plain", "flat"}, {"red"}]),
    ("horizontal edges of red", {"horizontal", "red", "edges"}, None),
    ("horizontal edges", {"horizontal", "edges", "level"}, [{"horizontal"}, {"edge"}]),
    ("dark lines, vertical", {"dark", "lines", "vertical"}, None),
    ("grids", {"grid", "mesh", "squares"}, [{"grid", "square"}]),
    ("smooth", {"smooth", "uniform", "empty"}, [{"smooth", "uniform"}]),
    ("vivid colors", {"vivid", "colorful"}, [{"vivid", "strong"}]),
    ("edges, dark left", {"dark", "left", "edges"}, [{"edge"}, {"dark"}, {"left"}]),
  ],
)
def test_the_truth_of_some_concepts(name, lenient, strict):
  found, groups = truth.measured_truth(TABLE[name])
  assert lenient <= set(found)
  assert len(set(found)) == len(found)
  for word in ("areas", "things", "of", "the", "parts"):
    assert word not in found
  if strict is not None:
    assert len(groups) == len(strict)
    for group, words in zip(groups, strict, strict=True):
      assert words <= set(group)


def test_strict_truth_asks_for_every_part_of_a_name():
  red = TABLE["horizontal edges of red"]
  known = _truth(red, *truth.measured_truth(red))
  assert judge("horizontal red lines", known).strict
  for half in ("horizontal edges", "red things", "red edges"):
    verdict = judge(half, known)
    assert verdict.lenient and not verdict.strict
  assert not judge("blue dogs", known).lenient


@pytest.mark.parametrize("name", TABLE)
def test_all_ways_to_say_a_measured_concept_are_right(name):
  concept = TABLE[name]
  known = _truth(concept, *truth.measured_truth(concept))
  for text in concept.phrasings:
    assert judge(text, known).lenient, text


def test_what_is_said_of_a_concept_is_hardly_ever_said_of_an_unlike_one():
  texts = {
    "red": "smooth white areas",
    "grids": "dark blobs",
    "smooth": "busy textures with a lot of detail",
    "dots": "vertical stripes",
    "curves": "red things",
    "blurry": "sharp corners",
    "dark": "white lines",
  }
  for name, text in texts.items():
    concept = TABLE[name]
    assert not judge(text, _truth(concept, *truth.measured_truth(concept))).lenient


def test_a_row_of_the_table():
  row = truth.entry(
    7, "red", lenient=("red",), strict=(("red",),), references=("red",), family="colors"
  )
  assert row == {
    "unit": 7,
    "concept": "red",
    "family": "colors",
    "negative": False,
    "lenient": ["red"],
    "strict": [["red"]],
    "references": ["red"],
  }
  nothing = truth.entry(
    8, "nothing", lenient=(), strict=(), references=("random areas",), family="nothing"
  )
  assert nothing["negative"] is True


def test_all_ways_to_say_a_named_concept_are_right_by_both_judges():
  def unrendered():
    raise AssertionError

  scenes = [
    Scene(digest, "train", digest, tuple(r.tags for r in regions), unrendered)
    for digest, regions in photo_scenes.named_regions().items()
  ]
  marks = named_concepts.find_marks(scenes)
  found = named_concepts.named_concepts(scenes, marks)
  assert len(found) > 500
  assert {concept.family for concept in found.values()} == {
    *("things", "categories", "parts", "colored", "looks", "together", "exceptions"),
    "sides",
  }
  for concept in found.values():
    known = _truth(concept, concept.lenient, concept.strict)
    for text in concept.phrasings:
      verdict = judge(text, known)
      assert verdict.lenient and verdict.strict, (concept.name, text)
