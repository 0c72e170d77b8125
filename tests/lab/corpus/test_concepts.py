import re

import numpy as np
import pytest

from milan_jax._src.lab.corpus import (
  color_phrasings,
  concepts,
  measures,
  phrasings,
  units,
)
from milan_jax._src.text.wording import NOTHING_PHRASES
from tests.lab.corpus import pictures

TABLE = {concept.name: concept for concept in concepts.table()}


def test_names_are_unique_and_every_concept_can_be_said_in_six_ways():
  assert len(TABLE) == len(concepts.table())
  for concept in TABLE.values():
    assert len(set(concept.phrasings)) == len(concept.phrasings) >= 6, concept.name
    assert set(concept.grids) <= set(measures.GRIDS)
    assert 0 < concept.floor < 1


def test_phrasings_are_whole_and_short():
  said = {text for concept in TABLE.values() for text in concept.phrasings}
  said |= set(NOTHING_PHRASES)
  for text in said:
    assert re.fullmatch(r"[a-z][a-z ,-]*[a-z]", text), text
    assert len(text.replace(",", " ,").split()) <= 13, text
  for concept in TABLE.values():
    for text in concept.short:
      assert len(text.split()) <= 7, text


def test_templates_of_two_concepts_hold_both():
  for template in phrasings.TOGETHER:
    assert template.count("{x}") == template.count("{y}") == 1
  for template in color_phrasings.PAIR:
    assert "{a}" in template
    assert "{b}" in template


GROUND = (128, 128, 128)
EXAMPLES = {
  "red": pictures.disc((205, 25, 30), GROUND),
  "blue": pictures.disc((40, 80, 220), GROUND),
  "horizontal edges": pictures.halves((40,) * 3, (215,) * 3),
  "vertical edges": pictures.halves((40,) * 3, (215,) * 3, 90),
  "horizontal stripes": pictures.bars(0, 10),
  "vertical stripes": pictures.bars(90, 10),
  "fine texture": pictures.noise(0, 60, 200),
  "dark spots": pictures.disc((40,) * 3, (215,) * 3, radius=5),
  "bright": pictures.flat((255, 255, 255)),
  "dark": pictures.flat((0, 0, 0)),
  "horizontal edges of red": pictures.halves((205, 25, 30), (60, 10, 12)),
}

# Examples that show a concept too, and may well show it better.
ALSO = {
  "horizontal edges": {"horizontal stripes", "horizontal edges of red"},
  "vertical edges": {"vertical stripes"},
}


@pytest.fixture(scope="module")
def measured():
  return {name: measures.measured(image)[28] for name, image in EXAMPLES.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_concept_ranks_its_own_example_first(name, measured):
  # The picture's border is left out: a photograph's edge is not an edge of its content.
  peaks = {
    other: units.peak(np.ascontiguousarray(TABLE[name].response(found)[4:-4, 4:-4]))
    for other, found in measured.items()
    if other not in ALSO.get(name, ())
  }
  assert max(peaks, key=lambda other: peaks[other]) == name, peaks
  assert peaks[name] > TABLE[name].floor
