"""Every sentence that training may see is whole, and judges no person."""

import collections
import itertools

import numpy as np
import pytest

from milan_jax._src.lab.corpus import (
  concepts,
  named_concepts,
  named_phrasings,
  named_units,
  photo_scenes,
  phrasings,
  units,
)
from milan_jax._src.lab.corpus.scenes import Scene
from milan_jax._src.text.fluency import faults
from milan_jax._src.text.persons import judgments
from milan_jax._src.text.wording import NOTHING_PHRASES


def _unrendered():
  raise AssertionError("a sentence is said without its picture")


@pytest.fixture(scope="module")
def planner():
  """Draws units of the 500 photographs' regions, all of them in the training part."""
  scenes = [
    Scene(digest, split, digest, tuple(region.tags for region in regions), _unrendered)
    for digest, regions in photo_scenes.named_regions().items()
    for split in units.SPLITS
  ]
  marks = named_concepts.find_marks(scenes)
  found = named_concepts.named_concepts(scenes, marks)
  return named_units.NamedPlanner(scenes, marks, found, 15), found


def _check(sentences):
  wrong = {
    text: found for text in sentences if (found := (*faults(text), *judgments(text)))
  }
  assert sentences and not wrong


def test_phrasings_of_every_concept(planner):
  named = {text for each in planner[1].values() for text in each.phrasings}
  measured = {text for each in concepts.table() for text in each.phrasings}
  places = {text for each in named_phrasings.PLACES.values() for text in each}
  assert len(named) > 1500 and len(measured) > 800
  _check(named | measured | places | set(NOTHING_PHRASES))


def test_phrasings_of_two_things(planner):
  """Each short phrasing on both sides of a joint, beside drawn others."""
  for found in (tuple(planner[1].values()), concepts.table()):
    short = sorted({text for each in found for text in each.short})
    drawn = np.random.default_rng(0).permutation(len(short)).tolist()
    pairs = [(text, short[other]) for text, other in zip(short, drawn, strict=True)]
    _check(
      {
        joint.format(x=x, y=y)
        for joint, (x, y) in zip(itertools.cycle(phrasings.TOGETHER), pairs)
        if not set(x.replace(",", "").split()) & set(y.replace(",", "").split())
      }
    )


def test_captions_of_drawn_units(planner):
  draw = planner[0].unit
  plans = [draw("train", np.random.default_rng([0, n])) for n in range(600)]
  families = collections.Counter(plan.family for plan in plans)
  assert set(named_units.FAMILY_WEIGHTS) < set(families)
  _check(set(itertools.chain.from_iterable(plan.captions for plan in plans)))


def test_no_concept_gives_persons_a_color_or_a_look(planner):
  keys = planner[1]
  assert ("thing", "man") in keys and ("part", "hand", "person") in keys
  assert ("colored", "white", "clothing") in keys
  for kind, attribute, *names in keys:
    if kind in ("colored", "look", "colored part"):
      assert not any(map(named_concepts.is_person, names)), (kind, attribute, names)
