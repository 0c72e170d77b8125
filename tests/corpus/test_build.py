import csv
import hashlib
import json

import numpy as np
import pytest

from milan_jax.corpus import build, concepts
from milan_jax.errors import UserError
from milan_jax.images.source import UnreadableImageError
from milan_jax.records import Unit
from milan_jax.store.annotations import read_annotations
from milan_jax.store.exemplar_sets import open_exemplars
from tests.corpus import pictures

COLORS = ((205, 25, 30), (250, 230, 40), (40, 150, 50), (40, 80, 220))
K = 2


class Discs:
  """Photographs of one disc each; number 5 cannot be read, 7 is a copy of 6."""

  size = 224

  def __init__(self, number=21):
    self._number = number

  def __len__(self):
    return self._number

  def name(self, index):
    return f"disc-{index}.png"

  @property
  def blank(self):
    return np.zeros((self.size, self.size, 3), np.uint8)

  def load(self, index):
    if index == 5:
      raise UnreadableImageError("truncated")
    index = 6 if index == 7 else index
    rng = np.random.default_rng(index)
    row, column = rng.integers(60, 164, 2)
    ground = int(rng.integers(100, 160))
    return pictures.disc(COLORS[index % 4], (ground,) * 3, row, column, 45)


@pytest.fixture
def few(monkeypatch):
  """A short table and short chunks."""
  names = ("red", "blue", "horizontal edges", "smooth green")
  table = tuple(concept for concept in concepts.table() if concept.name in names)
  monkeypatch.setattr(build.concept_table, "table", lambda: table)
  monkeypatch.setattr(build, "CHUNK", 8)


def _snapshot(folder):
  return {
    path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def _build(folder, **kwargs):
  return build.build_corpus(Discs(), folder, num_units=20, k=K, seed=0, **kwargs)


def test_a_corpus_is_whole_true_and_the_same_after_kills(few, tmp_path):
  manifest = _build(tmp_path / "whole")
  exemplars = open_exemplars(tmp_path / "whole")
  assert exemplars.layers == (build.LAYER,)
  layer = exemplars.exemplars(build.LAYER)
  np.testing.assert_array_equal(layer.units, np.arange(20))
  annotations = read_annotations(tmp_path / "whole")
  assert list(annotations) == [Unit(build.LAYER, unit) for unit in range(20)]
  assert all(len(texts) == 3 for texts in annotations.values())
  with (tmp_path / "whole" / "split.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["unit"] for row in rows] == [str(unit) for unit in range(20)]
  assert [row["split"] for row in rows] == [u["split"] for u in manifest["units"]]
  counts = [sum(row["split"] == split for row in rows) for split in build.SPLITS]
  assert counts == [16, 2, 2]

  # No photograph, nor a copy of one, is in two splits.
  photographs = {entry["name"]: entry for entry in manifest["photographs"]}
  assert manifest["skipped"] == [{"name": "disc-5.png", "reason": "truncated"}]
  assert len(photographs) == 20
  assert photographs["disc-6.png"]["split"] == photographs["disc-7.png"]["split"]
  assert (
    photographs["disc-0.png"]["sha256"]
    == hashlib.sha256(Discs().load(0).tobytes()).hexdigest()
  )
  for unit in manifest["units"]:
    assert {
      photographs[f"disc-{number}.png"]["split"] for number in unit["photographs"]
    } == {unit["split"]}

  # The masks show what the concept says, on the pixels that are stored.
  checked = 0
  for row, unit in enumerate(manifest["units"]):
    slots = np.arange(K)
    images = exemplars.images(layer.image_rows[row])
    masks = exemplars.masks(build.LAYER, np.full(K, row), slots)
    assert masks.any((1, 2)).all()
    if unit["concept"] in ("red", "blue"):
      channel = {"red": 0, "blue": 2}[unit["concept"]]
      for image, mask in zip(images, masks, strict=True):
        inside = image[mask].astype(int)
        rest = np.delete(inside, channel, axis=1).max(1)
        assert (inside[:, channel] > rest).mean() > 0.7
        checked += 1
  assert checked > 4

  # Again: nothing to do. Killed at three places and begun again: the same bytes.
  before = _snapshot(tmp_path / "whole")
  assert _build(tmp_path / "whole") == manifest
  stages = []

  def killing(stage, done, total):
    if stage not in stages and done > total // 2:
      stages.append(stage)
      raise KeyboardInterrupt

  for _ in range(3):
    with pytest.raises(KeyboardInterrupt):
      _build(tmp_path / "killed", progress=killing)
  assert stages == ["measuring photographs", "making maps", "writing regions"]
  _build(tmp_path / "killed", progress=killing)
  assert _snapshot(tmp_path / "killed") == before
  assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]

  with pytest.raises(UserError, match="other settings"):
    build.build_corpus(Discs(), tmp_path / "whole", num_units=31, k=K)
  assert json.loads((tmp_path / "whole" / "manifest.json").read_text()) == manifest


def test_too_few_photographs_is_an_error_with_the_number(few, tmp_path):
  with pytest.raises(UserError, match=r"at least 20 readable photographs, found 11"):
    build.build_corpus(Discs(12), tmp_path / "out", num_units=4, k=K)
  assert not (tmp_path / "out").exists()


def test_another_size_is_an_error(tmp_path):
  with pytest.raises(UserError, match="224 pixels, not 64"):
    build.build_corpus(Discs(), tmp_path / "out", num_units=4, k=K, size=64)
