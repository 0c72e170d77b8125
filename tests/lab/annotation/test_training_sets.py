"""The shipped annotations: whole, decent, and split by network."""

import csv

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.lab.annotation.training_sets import (
  ANNOTATIONS,
  part_of,
  write_training_sets,
)
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.splits import read_split
from milan_jax._src.text.persons import judgments

NETWORKS = ("inception", "lite0", "lite1", "lite2", "mobilenet", "vgg16")


def test_every_network_has_its_annotations():
  assert sorted(path.stem for path in ANNOTATIONS.glob("*.csv")) == list(NETWORKS)
  for name in NETWORKS:
    found = read_annotations(ANNOTATIONS / f"{name}.csv")
    assert len(found) >= (252 if name == "vgg16" else 2800)
    texts = [text for said in found.values() for text in said]
    assert not any(judgments(text) for text in texts)
    # "faces" is a word of one.
    assert all(1 <= len(text.split()) <= 12 for text in texts)
    off = sum(unit.sign == "off" for unit in found) / len(found)
    least, most = {"vgg16": (0, 0), "inception": (0.02, 0.04)}.get(name, (0.15, 0.17))
    assert least <= off <= most


def test_no_judged_unit_is_annotated():
  judged = ANNOTATIONS.parents[1] / "docs" / "judged" / "starter.csv"
  with judged.open(newline="") as file:
    units = {
      (row["network"], row["layer"], int(row["unit"])) for row in csv.DictReader(file)
    }
  annotated = {
    (name, unit.layer, unit.index)
    for name in NETWORKS
    for unit in read_annotations(ANNOTATIONS / f"{name}.csv")
  }
  assert len(units) == 150 and not units & annotated


def test_a_held_out_network_is_only_tested_on(tmp_path):
  for name in ("lite0", "vgg16"):
    folder = tmp_path / name / "exemplars"
    folder.mkdir(parents=True)
    write_training_sets([str(folder)])
    described = read_annotations(folder)
    split = read_split(folder / "split.csv")
    assert set(split) == set(described)
    parts = list(split.values())
    if name == "vgg16":
      assert set(parts) == {"test"}
    else:
      assert set(parts) == {"train", "validation"}
      assert 0.05 < parts.count("validation") / len(parts) < 0.25
    with (folder / "split.csv").open() as file:
      assert {row["sign"] for row in csv.DictReader(file)} >= {"on"}
  unit = Unit("blocks.5.bn1", 7)
  assert part_of("lite0", unit) == part_of("lite0", unit, held_out=("lite2",))
  assert part_of("lite2", unit, held_out=("lite2",)) == "test"


def test_an_unknown_network_is_named(tmp_path):
  with pytest.raises(UserError, match=r"found other\."):
    write_training_sets([str(tmp_path / "other" / "exemplars")])
