"""What annotations, exemplars and a split do not share is said, or refused."""

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from milan_jax._src.training.matching import keep_matched, name_units, split_rows

FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.1, "seed": 0}


def _units(layer, *indices):
  return [Unit(layer, index) for index in indices]


def _keep(annotated, known):
  lines = []
  kept = keep_matched(annotated, known, what="exemplars", say=lines.append)
  return kept, lines


def test_annotations_that_match_nothing_are_counted_and_named():
  annotated = {unit: ("a", "b") for unit in _units("conv1", *range(10))}
  annotated |= {unit: ("c",) for unit in _units("conv9", 3, 4)}
  annotated |= {Unit("conv1", 90): ("d",) * 3}
  kept, lines = _keep(annotated, set(_units("conv1", *range(12))))
  assert list(kept) == _units("conv1", *range(10))
  assert lines == [
    "5 of 25 annotations, of 3 of 13 units, match no exemplars: conv9 3, conv9 4, "
    "conv1 90; they are ignored (annotations are of conv1 (0 to 90), conv9 (3 to "
    "4); exemplars are of conv1 (0 to 11))"
  ]


def test_nothing_is_said_where_all_match():
  annotated = {unit: ("a",) for unit in _units("conv1", 0, 1)}
  assert _keep(annotated, set(_units("conv1", *range(64)))) == (annotated, [])


@pytest.mark.parametrize(
  ("known", "message"),
  [
    # Layers named otherwise; a corpus of other units; most of a layer.
    (_units("layer1", *range(4)), r"layer1 \(0 to 3\)"),
    (_units("1", *range(50, 54)), r"annotations .* 1 \(0 to 3\); exemplars .* 1 \(50"),
    (_units("1", 3), "3 of 4 annotations, of 3 of 4 units, match no exemplars: 1 0, "),
  ],
)
def test_when_most_are_lost_nothing_is_trained(known, message):
  with pytest.raises(UserError, match=message):
    _keep({unit: ("a",) for unit in _units("1", *range(4))}, set(known))


def test_half_is_not_most():
  annotated = {unit: ("a",) for unit in _units("1", *range(4))}
  kept, lines = _keep(annotated, set(_units("1", 0, 2)))
  assert list(kept) == _units("1", 0, 2)
  assert len(lines) == 1


def test_a_long_list_is_cut_short():
  assert name_units(_units("a", *range(9))) == "a 0, a 1, a 2, a 3, a 4 and 4 more"


def test_rows_of_a_given_split():
  units, lines = _units("a", 4, 5, 6, 7), []
  parts = dict(zip(units, ("test", "train", "validation", "train"), strict=True))
  found = split_rows(units, parts, say=lines.append, **FRACTIONS)
  assert [rows.tolist() for rows in found] == [[1, 3], [2], [0]]
  assert not lines
  parts |= {Unit("a", 3): "train", Unit("b", 4): "test"}
  again = split_rows(units, parts, say=lines.append, name="s.csv", **FRACTIONS)
  for one, other in zip(found, again, strict=True):
    np.testing.assert_array_equal(one, other)
  assert lines == [
    "2 of 6 units of s.csv are not annotated, or have no exemplars, and are "
    "ignored: a 3, b 4"
  ]


def test_an_annotated_unit_without_a_part_is_named():
  parts = {Unit("a", 0): "train", Unit("a", 2): "test", Unit("a", 3): "validation"}
  with pytest.raises(
    UserError, match=r"s\.csv has no row for 2 of 5 annotated units: a 1, a 4 \(its "
  ):
    split_rows(_units("a", *range(5)), parts, say=print, name="s.csv", **FRACTIONS)
