import pytest

from milan_jax._src.lab.corpus import named_concepts
from milan_jax._src.lab.corpus.named_concepts import Mark, find_marks
from milan_jax._src.lab.corpus.scenes import Scene, Tags


def _unrendered():
  raise AssertionError("a concept is found without its picture")


def scene(key, *tags, split="train", group=""):
  return Scene(key, split, group or key, tags, _unrendered)


@pytest.mark.parametrize(
  ("tags", "expected"),
  [
    (
      Tags("dog", colors=("brown", "white"), look="furry"),
      {
        *(("thing", "dog"), ("category", "animal")),
        *(("colored", "brown", "dog"), ("colored", "brown", "animal")),
        *(("look", "furry", "dog"), ("look", "furry", "animal")),
        ("look", "furry", "thing"),
      },
    ),
    (
      Tags("dog", "head", ("brown",), "furry"),
      {
        *(("part", "head", "dog"), ("part", "head", "animal"), ("part", "head", "")),
      },
    ),
    # Of persons neither colors nor looks are told, nor of parts that may be theirs.
    (
      Tags("man", colors=("white",), look="furry"),
      {("thing", "man"), ("category", "person"), ("look", "furry", "thing")},
    ),
    (
      Tags("woman", "hair", ("brown",)),
      {*(("part", "hair", name) for name in ("woman", "person")), ("part", "hair", "")},
    ),
    (
      Tags("duck", "beak", ("orange",)),
      {
        *(("part", "beak", name) for name in ("duck", "bird", "animal", "")),
        ("colored part", "orange", "beak"),
      },
    ),
    # Everything has a body: it says nothing alone.
    (Tags("dog", "body"), {("part", "body", "dog"), ("part", "body", "animal")}),
    (Tags("dog", "back", ("brown",)), set()),
    (
      Tags("grass"),
      {("thing", "grass"), ("category", "plant"), ("category", "ground")},
    ),
    (
      Tags("fur", look="furry"),  # nobody says "furry fur"
      {("thing", "fur"), ("look", "furry", "thing")},
    ),
    (Tags("sculpture", look="old"), {("thing", "sculpture")}),
    (
      Tags("violin"),
      {("thing", "violin"), ("category", "musical instrument")},
    ),
  ],
)
def test_the_concepts_of_a_region(tags, expected):
  keys = list(named_concepts._keys(tags))
  assert set(keys) == expected
  assert len(keys) == len(set(keys))


def test_marks_of_one_region_of_two_and_of_all_but_a_kind():
  scenes = [
    scene("a", Tags("dog"), Tags("grass"), Tags("dog", "head"), Tags("cat")),
    scene("b", Tags("dog")),
    scene("c", Tags("car"), Tags("road"), Tags("car")),
  ]
  found = find_marks(scenes)
  assert found["thing", "dog"] == [Mark(0, (0,)), Mark(1, (0,))]
  assert found["category", "animal"] == [Mark(0, (0,)), Mark(0, (3,)), Mark(1, (0,))]
  assert found["with", "dog", "grass"] == [Mark(0, (0, 1))]
  assert found["with", "animal", "grass"] == [Mark(0, (0, 1))]
  assert found["with", "cat", "grass"] == [Mark(0, (3, 1))]
  assert ("with", "grass", "grass") not in found
  assert ("with", "dog", "cat") not in found
  # Whole animals that are not dogs; of cars no vehicle but a car is left.
  assert found["except", "animal", "dog"] == [Mark(0, (3,))]
  assert ("except", "vehicle", "car") not in found
  assert found["except", "vehicle", "boat"] == [Mark(2, (0,)), Mark(2, (2,))]
  assert found["with", "car", "road"] == [Mark(2, (0, 1))]


def test_sides_are_those_of_whole_things():
  scenes = [scene("a", Tags("dog"), Tags("grass"), Tags("dog", "head"), Tags("cup"))]
  found = find_marks(scenes)
  for side in ("top", "bottom", "left", "right"):
    dog = Mark(0, (0,), side)
    assert found["side", side, "dog"] == found["side", side, "animal"] == [dog]
    assert found["side", side, "thing"] == [dog, Mark(0, (3,), side)]
  assert {key[2] for key in found if key[0] == "side"} == {"dog", "animal", "thing"}


def test_a_concept_needs_enough_sources_of_the_training_part():
  def count(number, split="train", group="{}"):
    scenes = [
      scene(f"{n}", Tags("owl", colors=("white",)), split=split, group=group.format(n))
      for n in range(number)
    ]
    return set(named_concepts.named_concepts(scenes, find_marks(scenes)))

  things, others = named_concepts.LEAST_SOURCES, named_concepts.LEAST_OF_OTHERS
  assert (things, others) == (3, 5)
  assert count(2) == set()
  assert count(3) == count(4) == {("thing", "owl")}
  sides = {
    ("side", side, name)
    for side in ("top", "bottom", "left", "right")
    for name in ("bird", "animal", "thing")
  }
  every = sides | {
    *(("thing", "owl"), ("category", "bird"), ("category", "animal")),
    ("except", "animal", "dog"),
    *(("colored", "white", name) for name in ("owl", "bird", "animal")),
  }
  assert count(5) == every
  assert count(9, split="test") == set()
  assert count(9, group="the same") == set()


@pytest.mark.parametrize(
  ("key", "name", "family", "first", "strict"),
  [
    (("thing", "owl"), "owl", "things", "owls", [{"owl"}]),
    (("thing", "grass"), "grass", "things", "grass", [{"grass"}]),
    (("category", "bird"), "any bird", "categories", "birds", [{"bird"}]),
    (
      ("part", "head", "dog"),
      "dog head",
      "parts",
      "dog heads",
      [{"dog", "animal"}, {"head", "face"}],
    ),
    (
      ("part", "hand", "person"),
      "person hand",
      "parts",
      "people's hands",
      [{"person", "people"}, {"hand"}],
    ),
    (
      ("look", "dark", "leaves"),
      *("dark leaves", "looks", "dark leaves", [{"dark"}, {"leaves"}]),
    ),
    (("part", "wheel", ""), "any wheel", "parts", "wheels", [{"wheel", "tires"}]),
    (
      ("colored", "red", "car"),
      "red car",
      "colored",
      "red cars",
      [{"red"}, {"car", "vehicle"}],
    ),
    (
      ("colored part", "yellow", "beak"),
      "yellow beak, any",
      "colored",
      "yellow beaks",
      [{"yellow"}, {"beak"}],
    ),
    (("look", "shiny", "thing"), "shiny things", "looks", "shiny things", [{"shiny"}]),
    (
      ("look", "furry", "dog"),
      "furry dog",
      "looks",
      "furry dogs",
      [{"furry"}, {"dog"}],
    ),
    (
      ("with", "dog", "snow"),
      "dog with snow",
      "together",
      "dogs and snow",
      [{"dog"}, {"snow"}],
    ),
    (
      ("except", "animal", "dog"),
      "animal except dog",
      "exceptions",
      "animals except dogs",
      [{"animal"}],
    ),
    (
      ("side", "left", "dog"),
      *("left of dog", "sides", "the left side of dogs", [{"left"}, {"dog"}]),
    ),
    (
      ("side", "top", "thing"),
      *("top of thing", "sides", "the tops of objects", [{"top", "upper"}]),
    ),
  ],
)
def test_what_a_concept_is_called(key, name, family, first, strict):
  found = named_concepts._concept(key)
  assert (found.name, found.family) == (name, family)
  assert found.phrasings[0] == first
  assert found.short == found.phrasings[:3]
  assert len(found.strict) == len(strict)
  for group, words in zip(found.strict, strict, strict=True):
    assert words <= set(group)
  for text in found.phrasings:
    assert "{" not in text and text == text.strip()


def test_numbers_of_nouns_agree():
  leaves = named_concepts._concept(("look", "dark", "leaves")).phrasings
  assert "leaves that look dark" in leaves and "different dark leaves" in leaves
  ground = named_concepts._concept(("colored", "brown", "ground")).phrasings
  assert "ground that is brown" in ground and "some brown ground" in ground


def test_things_are_on_in_or_among_what_they_are_with():
  for ground, said in (
    ("snow", "dogs in snow"),
    ("grass", "dogs on grass"),
    ("leaves", "dogs among leaves"),
    ("sky", "dogs in front of the sky"),
    ("road", "dogs on a road"),
  ):
    assert said in named_concepts._concept(("with", "dog", ground)).phrasings
