import collections
import itertools

import numpy as np
import pytest

from milan_jax._src.lab.corpus import mark_maps, named_phrasings, named_units, units
from milan_jax._src.lab.corpus.mark_maps import place_map
from milan_jax._src.lab.corpus.named_concepts import (
  Mark,
  find_marks,
  named_concepts,
)
from milan_jax._src.lab.corpus.named_units import NamedPlan, NamedPlanner, mark_map
from milan_jax._src.lab.corpus.scenes import Scene, Tags
from milan_jax._src.lab.corpus.units import Looks
from milan_jax._src.text.wording import NOTHING_PHRASES

K = 6
SPLITS = ("train", "validation", "test")
THINGS = (
  *(("dog", "brown"), ("cat", "black"), ("lion", "tan"), ("eagle", "brown")),
  *(("duck", "white"), ("cow", "white"), ("car", "red"), ("bus", "yellow")),
  *(("boat", "white"), ("apple", "red"), ("hat", "black"), ("violin", "brown")),
)


def _unrendered():
  raise AssertionError("a unit is planned without its pictures")


def _scenes(things=THINGS, groups=4, views=3):
  """Every thing in some sources of each split, a few scenes each, on grass or not."""
  return [
    Scene(
      f"{split} {what} {group} {view}",
      split,
      f"{split} {what} {group}",
      (
        Tags(what, colors=(color,)),
        *([Tags("grass", colors=("green",))] if group % 2 else []),
        *([Tags(what, "head")] if what in ("dog", "cat", "lion", "cow") else []),
      ),
      _unrendered,
    )
    for split in SPLITS
    for what, color in things
    for group in range(groups)
    for view in range(views)
  ]


def _planner(scenes, k=K):
  marks = find_marks(scenes)
  concepts = named_concepts(scenes, marks)
  return NamedPlanner(scenes, marks, concepts, k), concepts


@pytest.fixture(scope="module")
def planned():
  scenes = _scenes(groups=5)
  planner, concepts = _planner(scenes)
  plans = [
    planner.unit(SPLITS[n % 3], np.random.default_rng([7, n])) for n in range(1500)
  ]
  return scenes, planner, concepts, plans


def _by(plans, family):
  return [plan for plan in plans if plan.family == family]


def test_units_stay_in_their_split(planned):
  scenes, _, _, plans = planned
  for number, plan in enumerate(plans):
    assert plan.split == SPLITS[number % 3]
    assert len(plan.marks) == len(plan.groups) == K
    assert {scenes[mark.scene].split for mark in plan.marks} == {plan.split}
    assert len(plan.captions) == units.NUM_CAPTIONS
    assert plan.looks.grid in named_units.GRIDS


def test_units_show_nothing_one_two_or_a_place_by_their_shares(planned):
  *_, plans = planned
  kinds = collections.Counter(
    {"nothing": 0, "mixtures": 2, "places": 3}.get(plan.family, 1) for plan in plans
  )
  for kind, share in enumerate(named_units.KIND_SHARES):
    spread = 4 * (share * (1 - share) / len(plans)) ** 0.5
    assert kinds[kind] / len(plans) == pytest.approx(share, abs=spread)
  grids = collections.Counter(plan.looks.grid for plan in plans)
  for grid, share in zip(named_units.GRIDS, named_units.GRID_SHARES, strict=True):
    assert grids[grid] / len(plans) == pytest.approx(share, abs=0.05)
  single = {plan.family for plan in plans} - {"nothing", "mixtures", "places"}
  assert single == set(named_units.FAMILY_WEIGHTS) - {"looks"}


def test_the_same_draw_gives_the_same_unit(planned):
  scenes, _, _, plans = planned
  again, _ = _planner(scenes)
  for number in range(60):
    plan = again.unit(SPLITS[number % 3], np.random.default_rng([7, number]))
    assert plan == plans[number]


def test_a_unit_shows_all_sources_before_it_shows_one_again(planned):
  scenes, _, _, plans = planned
  for plan in _by(plans, "things"):
    what = {scenes[mark.scene].tags[mark.regions[0]].what for mark in plan.marks}
    if what == {"grass"}:
      assert len({scenes[mark.scene].group for mark in plan.marks}) == K
      continue
    assert what == {plan.name}
    counts = collections.Counter(scenes[mark.scene].group for mark in plan.marks)
    assert sorted(counts.values()) == [1, 1, 1, 1, 2]  # five sources, six regions
    assert len(set(plan.marks)) == K


def test_a_category_does_not_show_one_kind_of_thing_only(planned):
  scenes, _, _, plans = planned
  most = max(2, round(named_units.MOST_ALIKE * K))
  checked = 0
  for plan in _by(plans, "categories"):
    kinds = collections.Counter(
      scenes[mark.scene].tags[mark.regions[0]].what for mark in plan.marks
    )
    if plan.name in ("any animal", "any vehicle"):  # three kinds at least
      assert max(kinds.values()) <= most
      checked += 1
  assert checked > 30
  heads = [plan for plan in plans if plan.name == "any head"]
  assert heads
  for plan in heads:
    kinds = collections.Counter(
      scenes[mark.scene].tags[mark.regions[0]].what for mark in plan.marks
    )
    assert max(kinds.values()) <= most


def test_mixtures_share_no_word_and_say_both(planned):
  _, _, concepts, plans = planned
  by_name = {concept.name: concept for concept in concepts.values()}
  mixtures = _by(plans, "mixtures")
  for plan in mixtures:
    first, second = (by_name[name] for name in plan.name.split(" + "))
    assert not set(first.lenient) & set(second.lenient)
    assert collections.Counter(plan.groups) == {0: K // 2, 1: K - K // 2}
    assert set(plan.lenient) == {*first.lenient, *second.lenient}
    assert plan.strict == first.strict + second.strict
    for caption in plan.captions:
      for concept in (first, second):
        assert any(text in caption for text in concept.short)
  assert len(mixtures) > 150


def test_captions_are_the_concepts_or_name_what_the_regions_share(planned):
  _, _, concepts, plans = planned
  by_name = {concept.name: concept for concept in concepts.values()}
  shared = total = 0
  for plan in plans:
    if plan.family in ("nothing", "mixtures", "places"):
      continue
    said = set(plan.captions) - set(by_name[plan.name].phrasings)
    assert len(said) <= 1
    if plan.family == "things" and plan.name in dict(THINGS):
      total += 1
      shared += bool(said)
      # All dogs here are brown.
      assert said <= {f"{dict(THINGS)[plan.name]} {by_name[plan.name].phrasings[0]}"}
  assert shared / total == pytest.approx(named_units.CHANCE_SHARED, abs=0.1)


def test_nothing_is_right_of_units_of_nothing(planned):
  scenes, _, _, plans = planned
  nothing = _by(plans, "nothing")
  places = 0
  for plan in nothing:
    assert plan.lenient == plan.strict == ()
    assert set(plan.captions) <= set(NOTHING_PHRASES)
    assert len(set(plan.groups)) == 1
    places += plan.groups[0] == -1
    kinds = [scenes[mark.scene].tags[mark.regions[0]].what for mark in plan.marks]
    assert len(set(kinds)) == K, "no two show one kind"
  assert 0.3 < places / len(nothing) < 0.7


def test_units_of_a_place_name_it(planned):
  *_, plans = planned
  found = _by(plans, "places")
  assert {plan.place for plan in found} == set(named_phrasings.PLACES)
  for plan in found:
    assert set(plan.captions) <= set(named_phrasings.PLACES[plan.place])
    assert plan.strict == named_phrasings.PLACE_WORDS[plan.place]
    assert set(plan.lenient) == {word for group in plan.strict for word in group}
    assert len({mark.scene for mark in plan.marks}) == K


def test_a_split_shows_what_enough_of_its_sources_show():
  scenes = _scenes((("owl", "white"), ("car", "red")), groups=5, views=2)
  few = [
    scene
    for scene in scenes
    if scene.split != "test" or "owl" not in scene.key or scene.group[-1] in "01"
  ]
  planner, _ = _planner(few)
  assert "owl" in planner.concepts_of("train")
  assert "owl" in planner.concepts_of("validation")
  assert "owl" not in planner.concepts_of("test")
  assert "car" in planner.concepts_of("test")
  # 5 sources with two scenes each hold no 11 regions.
  assert _planner(scenes, k=11)[0].concepts_of("test") == [
    name for name in _planner(scenes, k=11)[0].concepts_of("test") if name != "owl"
  ]


def test_a_split_of_concepts_all_alike_has_no_mixtures():
  planner, _ = _planner(_scenes((("owl", ""),), groups=6))
  plans = [planner.unit("train", np.random.default_rng(n)) for n in range(60)]
  for plan in plans:
    if plan.family == "mixtures":
      first, second = plan.name.split(" + ")
      assert "grass" in first + second
  alone = [
    Scene(f"{n}", split, f"{split} {n}", (Tags("owl"),), _unrendered)
    for split in SPLITS
    for n in range(8)
  ]
  planner, _ = _planner(alone)
  families = {planner.unit("test", np.random.default_rng(n)).family for n in range(60)}
  assert families <= {
    "things",
    "categories",
    "exceptions",
    "sides",
    "nothing",
    "places",
  }


def _plan(marks, *, grid=56, place=""):
  return NamedPlan(
    split="train",
    family="things",
    name="dog",
    marks=marks,
    groups=(0,) * len(marks),
    place=place,
    looks=Looks(grid, 0.1, 0.0, 0),
    captions=(),
    lenient=("dog",),
    strict=(("dog",),),
  )


@pytest.mark.parametrize("grid", named_units.GRIDS)
def test_maps_of_marks_cell_by_cell(grid):
  rng = np.random.default_rng(0)
  regions = rng.random((3, 56, 56)).astype(np.float16)
  marks = (Mark(0, (1,)), Mark(0, (0, 2)))
  plan = _plan(marks, grid=grid)
  step = 56 // grid
  for number, value in enumerate(
    (
      lambda a, b, c: b,
      lambda a, b, c: max(a, c),
    )
  ):
    expected = np.zeros((grid, grid))
    for row, column in itertools.product(range(56), repeat=2):
      cell = value(*map(float, regions[:, row, column]))
      expected[row // step, column // step] += cell / step**2
    found = mark_map(regions.astype(np.float32), plan, number)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("place", named_phrasings.PLACES)
def test_maps_of_places_fall_off_from_their_side_or_corner(place):
  def near(distance, size):
    return max(0.0, 1 - (distance + 0.5) / 56 / size)

  expected = np.zeros((56, 56))
  for row, column in itertools.product(range(56), repeat=2):
    size = mark_maps.PLACE_SIZE if "er" not in place else mark_maps.CORNER_SIZE
    if place == "border":
      size = mark_maps.PLACE_SIZE
    top, bottom = near(row, size), near(55 - row, size)
    left, right = near(column, size), near(55 - column, size)
    values = {
      "top": top,
      "bottom": bottom,
      "left": left,
      "right": right,
      "border": max(top, bottom, left, right),
      "upper left": min(top, left),
      "upper right": min(top, right),
      "lower left": min(bottom, left),
      "lower right": min(bottom, right),
      "upper corners": max(min(top, left), min(top, right)),
      "lower corners": max(min(bottom, left), min(bottom, right)),
      "corners": min(max(top, bottom), max(left, right)),
    }
    expected[row, column] = values[place]
  np.testing.assert_allclose(place_map(place), expected, atol=1e-5)
  regions = np.ones((1, 56, 56), np.float32)
  found = mark_map(regions, _plan((Mark(0, (0,)),), place=place), 0)
  np.testing.assert_array_equal(found, place_map(place))


@pytest.mark.parametrize(
  ("side", "edge", "beyond"),
  [
    ("top", (slice(19, 23), slice(30, 50)), (slice(36, 56), slice(None))),
    ("bottom", (slice(37, 40), slice(30, 50)), (slice(0, 24), slice(None))),
    ("left", (slice(24, 34), slice(24, 27)), (slice(None), slice(44, 56))),
    ("right", (slice(24, 34), slice(53, 56)), (slice(None), slice(0, 34))),
  ],
)
def test_a_side_of_a_thing_is_strongest_at_its_end(side, edge, beyond):
  thing = np.zeros((1, 56, 56), np.float32)
  thing[0, 20:40, 24:56] = 1  # it reaches the picture's right edge
  found = mark_map(thing, _plan((Mark(0, (0,), side),), grid=56), 0)
  assert found.shape == (56, 56) and found.min() >= 0 and found.max() <= 1
  assert found[edge].max() == found.max() > 0.5
  assert found[beyond].max() == 0


def test_a_side_of_nothing_is_nowhere():
  thing = np.zeros((1, 56, 56), np.float32)
  assert not mark_map(thing, _plan((Mark(0, (0,), "top"),)), 0).any()
