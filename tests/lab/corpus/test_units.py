import collections
import itertools

import numpy as np
import pytest

from milan_jax._src.lab.corpus import concepts, measures, units, views
from milan_jax._src.text.wording import NOTHING_PHRASES
from tests.lab.corpus import pictures

K = 4


def _planner(seed=0):
  rng = np.random.default_rng(seed)
  table = concepts.table()
  photographs = np.repeat(np.arange(60), 2)
  splits = [("train", "validation", "test")[photo % 3] for photo in photographs]
  peaks = rng.random((len(units.PEAK_GRIDS), len(table), 120), np.float32)
  planner = units.Planner(table, peaks, photographs, splits, K)
  return planner, table, peaks, photographs, splits


def _some(planner, number=300, split="test"):
  return [planner.unit(split, np.random.default_rng([1, n])) for n in range(number)]


def test_sources_are_split_by_their_shares_and_reproducibly():
  names = [f"photograph {number}" for number in range(200)]
  splits = units.split_groups(names, seed=3)
  counts = collections.Counter(splits.values())
  assert counts == {"train": 116, "validation": 24, "test": 60}
  assert splits == units.split_groups(names[::-1], seed=3)
  assert splits != units.split_groups(names, seed=4)


def test_units_stay_in_their_split_and_show_a_photograph_once():
  planner, _, _, photographs, splits = _planner()
  for plan in _some(planner):
    assert len(plan.views) == len(plan.concepts) == K
    assert {splits[view] for view in plan.views} == {"test"}
    assert len({photographs[view] for view in plan.views}) == K
    assert len(set(plan.captions)) == units.NUM_CAPTIONS


def test_a_units_regions_are_among_the_best_and_come_best_first():
  planner, table, peaks, _, splits = _planner()
  tests = np.flatnonzero(np.array(splits) == "test")
  single = [
    plan for plan in _some(planner) if len(set(plan.concepts)) == 1 > -plan.concepts[0]
  ]
  single = [plan for plan in single if plan.concepts[0] >= 0]
  assert len(single) > 100
  for plan in single:
    concept = table[plan.concepts[0]]
    assert plan.looks.grid in concept.grids
    row = peaks[units.PEAK_GRIDS.index(min(plan.looks.grid, 56)), plan.concepts[0]]
    strengths = row[list(plan.views)]
    assert (np.diff(strengths) <= 0).all()
    assert strengths.min() > concept.floor
    # Of 20 photographs one of two views each is seen: 8 of the pool may leave out as
    # many better ones again, no more.
    assert (row[tests] > strengths.max()).sum() <= 20 + units.LOOSEST * K


def test_mixed_units_show_both_and_say_both():
  planner, table, _, _, _ = _planner()
  mixed = [plan for plan in _some(planner) if len(set(plan.concepts)) == 2]
  assert 0.05 * 300 < len(mixed) < 0.3 * 300
  for plan in mixed:
    counts = collections.Counter(plan.concepts)
    assert sorted(counts.values()) == [2, 2]
    first, second = (table[index] for index in counts)
    for caption in plan.captions:
      for concept in (first, second):
        assert any(short in caption for short in concept.short), caption


def test_units_of_nothing_show_random_places_or_a_concept_each():
  planner, table, peaks, photographs, _ = _planner()
  nothing = [plan for plan in _some(planner, 900) if plan.name == units.NOTHING]
  assert len(nothing) / 900 == pytest.approx(units.NUMBER_SHARES[0], abs=0.04)
  shuffled = [plan for plan in nothing if plan.concepts[0] >= 0]
  share = len(shuffled) / len(nothing)
  assert share == pytest.approx(units.SHUFFLED_SHARE, abs=0.18)
  for plan in nothing:
    assert plan.family == units.NOTHING
    assert set(plan.captions) <= set(NOTHING_PHRASES)
    assert len({photographs[view] for view in plan.views}) == K
    if plan not in shuffled:
      assert plan.concepts == (-1,) * K
      continue
    assert len(set(plan.concepts)) == K, "no two regions show one concept"
    for view, index in zip(plan.views, plan.concepts, strict=True):
      assert plan.looks.grid in table[index].grids
      level = units.PEAK_GRIDS.index(min(plan.looks.grid, units.PEAK_GRIDS[0]))
      assert peaks[level, index, view] > table[index].floor


def test_families_are_drawn_by_their_weights():
  planner, table, _, _, _ = _planner()
  single = [plan for plan in _some(planner, 900) if len(set(plan.concepts)) == 1]
  single = [plan for plan in single if plan.concepts[0] >= 0]
  sizes = collections.Counter(concept.family for concept in table)
  weights = {
    family: size * units.FAMILY_WEIGHTS.get(family, 1.0)
    for family, size in sizes.items()
  }
  found = collections.Counter(plan.family for plan in single)
  for family, weight in weights.items():
    share = weight / sum(weights.values())
    assert found[family] / len(single) == pytest.approx(share, abs=0.05)


def test_a_concept_that_no_photograph_shows_is_never_drawn():
  planner, table, peaks, _, _ = _planner()
  peaks[:] = 0
  peaks[:, 5] = 1
  drawn = set(itertools.chain.from_iterable(p.concepts for p in _some(planner, 60)))
  assert drawn == {5, -1}
  assert table[5].floor < 1


def test_masks_cover_the_area_that_is_asked_for():
  rng = np.random.default_rng(0)
  maps = rng.uniform(0, 1, (K, 56, 56)).astype(np.float32) ** 4
  for area in (0.04, 0.08):
    masks = units.unit_masks(maps, [1] * K, area=area, size=224)
    assert masks.mean() == pytest.approx(area, rel=0.01)
    assert masks.any((1, 2)).all()


def test_a_mask_lies_where_the_response_is_high():
  image = np.zeros((K, 14, 14), np.float32)
  image[:, 3, 10] = 1
  masks = units.unit_masks(image, [0] * K, area=0.2, size=224)
  rows, columns = np.nonzero(masks[0])
  # Half the peak: half a cell beyond its middle, on each side.
  assert (rows.min(), rows.max()) == (3 * 16, 4 * 16 - 1)
  assert (columns.min(), columns.max()) == (10 * 16, 11 * 16 - 1)
  assert masks[0].sum() < 16 * 16


def test_a_weak_region_has_a_mask_and_leaves_the_others_theirs():
  maps = np.zeros((K, 14, 14), np.float32)
  maps[:, 2, 2] = [1, 1, 1, 0.1]
  maps[:, 9, 9] = [0.3, 0.3, 0.3, 0]
  masks = units.unit_masks(maps, [0] * K, area=0.3, size=224)
  assert masks.any((1, 2)).all()
  assert not masks[:, 128:, 128:].any(), "0.3 is below half a typical peak"


def test_each_concept_of_a_unit_has_its_own_level():
  maps = np.zeros((K, 14, 14), np.float32)
  maps[:2, 4, 4] = 1.0
  maps[2:, 4, 4] = 0.2
  masks = units.unit_masks(maps, [0, 0, 1, 1], area=0.3, size=224)
  for other in masks[1:]:
    np.testing.assert_array_equal(other, masks[0])


def test_a_peak_is_of_a_patch_and_not_of_a_pixel():
  fine = np.zeros((112, 112), np.float32)
  fine[20, 20] = 1
  assert units.peak(fine) == pytest.approx(1 / 16)
  fine[20:24, 20:24] = 1
  assert units.peak(fine) == 1
  coarse = np.zeros((14, 14), np.float32)
  coarse[2, 2] = 1
  assert units.peak(coarse) == 1


def test_maps_dim_the_response_and_never_move_it():
  planner, table, _, _, _ = _planner()
  plan = next(p for p in _some(planner) if p.looks.grid == 28 and p.concepts[0] >= 0)
  found = measures.measured(pictures.disc((205, 25, 30), (40, 150, 50)))[28]
  response = table[0].response(found)
  drawn = units.unit_map(response, plan.looks, 0, shown=True)
  np.testing.assert_array_equal(
    drawn, units.unit_map(response, plan.looks, 0, shown=True)
  )
  assert (drawn <= response.max()).all()
  inside = response > 0.99
  assert drawn[inside].min() > (1 - units.MOST_DIMMING) * 0.6
  assert not np.array_equal(drawn, units.unit_map(response, plan.looks, 1, shown=True))


def test_a_crop_shows_what_lies_there_and_a_mirror_swaps_sides():
  image = np.zeros((224, 224, 3), np.uint8)
  image[:112, :112] = (200, 0, 0)
  image[:112, 112:] = (0, 200, 0)
  whole = views.seen(image, views.View(0), 224)
  np.testing.assert_array_equal(whole, image)
  mirrored = views.seen(image, views.View(0, mirrored=True), 224)
  np.testing.assert_array_equal(mirrored, image[:, ::-1])
  corner = views.seen(image, views.View(0, left=0.5, top=0.0, side=0.5), 224)
  assert (corner[:200, 20:] == (0, 200, 0)).all()


def test_views_lie_inside_the_photograph():
  some = [view for photo in range(50) for view in views.views_of(photo, 4, seed=0)]
  assert len(set(some)) == 200
  for view in some:
    assert view.left + view.side <= 1 + 1e-9
    assert view.top + view.side <= 1 + 1e-9
    assert view.side >= views.SMALLEST_CROP
  assert sum(view.side == 1 for view in some) == 50
