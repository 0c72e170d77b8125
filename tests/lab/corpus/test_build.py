import collections
import csv
import hashlib
import json

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.lab.corpus import (
  build,
  concepts,
  named_phrasings,
  photo_scenes,
  scene_list,
  survey,
  units,
)
from milan_jax._src.lab.corpus.sources.picture import Picture
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.store.splits import read_split
from milan_jax._src.store.truths import read_truths
from milan_jax._src.text.fluency import is_broken
from milan_jax._src.text.judge import judge
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.wording import NOTHING_PHRASES
from tests.lab.corpus import pictures

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

  @staticmethod
  def place(index):
    rng = np.random.default_rng(index)
    row, column = rng.integers(60, 164, 2)
    return int(row), int(column), int(rng.integers(100, 160))

  def load(self, index):
    if index == 5:
      raise UnreadableImageError("truncated")
    index = 6 if index == 7 else index
    row, column, ground = self.place(index)
    return pictures.disc(COLORS[index % 4], (ground,) * 3, row, column, 45)


@pytest.fixture
def few(monkeypatch):
  """A short table and short chunks."""
  names = ("red", "blue", "horizontal edges", "smooth green")
  table = tuple(concept for concept in concepts.table() if concept.name in names)
  monkeypatch.setattr(build.concepts, "table", lambda: table)
  monkeypatch.setattr(survey, "CHUNK", 8)


def _snapshot(folder):
  return {
    path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def _build(folder, **kwargs):
  options = {"num_units": 30, "k": K, "seed": 0, **kwargs}
  return build.build_corpus(Discs(), folder, **options)


def _shown(folder):
  """For each unit, the names of the pictures that it shows."""
  store = StoredExemplars(folder)
  rows = store.exemplars(build.LAYER).image_rows
  return [list(store.image_names(each)) for each in rows]


def _check_colors(folder, manifest):
  """Masks of colors show these, on the pixels that are stored; returns how many."""
  store = StoredExemplars(folder)
  layer = store.exemplars(build.LAYER)
  checked = 0
  for row, unit in enumerate(manifest["units"]):
    images = store.images(layer.image_rows[row])
    masks = store.masks(build.LAYER, np.full(K, row), np.arange(K))
    assert masks.any((1, 2)).all()
    if unit["concept"] in ("red", "blue"):
      channel = {"red": 0, "blue": 2}[unit["concept"]]
      for image, mask in zip(images, masks, strict=True):
        inside = image[mask].astype(int)
        rest = np.delete(inside, channel, axis=1).max(1)
        assert (inside[:, channel] > rest).mean() > 0.7
        checked += 1
  return checked


def _killing(stages):
  """Returns a progress that interrupts each stage once, in its middle."""

  def progress(stage, done, total):
    if stage not in stages and done > total // 2:
      stages.append(stage)
      raise KeyboardInterrupt

  return progress


def test_a_corpus_is_whole_true_and_the_same_after_kills(few, tmp_path):
  manifest = _build(tmp_path / "whole")
  exemplars = StoredExemplars(tmp_path / "whole")
  assert exemplars.layers == (build.LAYER,)
  layer = exemplars.exemplars(build.LAYER)
  np.testing.assert_array_equal(layer.units, np.arange(30))
  annotations = read_annotations(tmp_path / "whole")
  # Units of nothing have no captions: training does not see them.
  shown = [u["concept"] != "nothing" for u in manifest["units"]]
  assert 0 < sum(shown) < 30
  assert list(annotations) == [
    Unit(build.LAYER, unit) for unit in range(30) if shown[unit]
  ]
  assert all(len(texts) == 3 for texts in annotations.values())
  with (tmp_path / "whole" / "split.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["unit"] for row in rows] == [str(unit) for unit in range(30)]
  assert [row["split"] for row in rows] == [u["split"] for u in manifest["units"]]
  counts = [sum(row["split"] == split for row in rows) for split in build.SPLITS]
  assert counts == [25, 2, 3]

  # No photograph, nor a copy of one, is in two splits.
  photographs = {entry["name"]: entry for entry in manifest["photographs"]}
  assert manifest["skipped"] == [{"name": "disc-5.png", "reason": "truncated"}]
  assert len(photographs) == 20
  assert photographs["disc-6.png"]["split"] == photographs["disc-7.png"]["split"]
  assert (
    photographs["disc-0.png"]["sha256"]
    == hashlib.sha256(Discs().load(0).tobytes()).hexdigest()
  )
  for unit, names in zip(manifest["units"], _shown(tmp_path / "whole"), strict=True):
    shown = {photographs[name.split("@")[0]]["split"] for name in names}
    assert shown == {unit["split"]}
  assert manifest["pictures"] == manifest["packages"] == []

  # The masks show what the concept says, on the pixels that are stored.
  assert _check_colors(tmp_path / "whole", manifest) > 4

  # Again: nothing to do. Killed at three places and begun again: the same bytes.
  before = _snapshot(tmp_path / "whole")
  assert _build(tmp_path / "whole") == manifest
  stages = []
  for _ in range(3):
    with pytest.raises(KeyboardInterrupt):
      _build(tmp_path / "killed", progress=_killing(stages))
  assert stages == ["measuring photographs", "making maps", "writing measured units"]
  _build(tmp_path / "killed", progress=_killing(stages))
  assert _snapshot(tmp_path / "killed") == before
  assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]

  with pytest.raises(UserError, match="other settings"):
    build.build_corpus(Discs(), tmp_path / "whole", num_units=31, k=K)
  assert json.loads((tmp_path / "whole" / "manifest.json").read_text()) == manifest


def test_too_few_photographs_is_an_error_with_the_number(few, tmp_path):
  with pytest.raises(UserError, match=r"at least 17 readable photographs, found 11"):
    build.build_corpus(Discs(12), tmp_path / "out", num_units=4, k=K)
  assert not (tmp_path / "out").exists()


def test_another_size_is_an_error(tmp_path):
  with pytest.raises(UserError, match="224 pixels, but size is 64"):
    build.build_corpus(Discs(), tmp_path / "out", num_units=4, k=K, size=64)


# With pictures.

CYAN, MAGENTA = (0, 255, 255), (255, 0, 255)


def _cutout(key, what, color, group=""):
  pixels = np.zeros((20, 30, 4), np.uint8)
  pixels[4:16, 3:27] = (*color, 255)
  return Picture(key, "cutout", what, load=lambda: pixels.copy(), group=group)


def _some_pictures():
  found = [_cutout(f"p:duck-{n}", "duck", CYAN) for n in range(22)]
  found += [_cutout(f"p:car-{n}", "car", MAGENTA) for n in range(22)]
  # A mirrored copy of a picture goes where that goes.
  found += [_cutout(f"p:duck-{n}-again", "duck", CYAN, f"p:duck-{n}") for n in range(9)]
  lava = np.full((50, 60, 3), (255, 0, 90), np.uint8)
  return found + [
    Picture(f"p:lava-{n}", "texture", "lava", load=lava.copy) for n in range(8)
  ]


@pytest.fixture
def little_text(monkeypatch):
  texts = {"train": 6, "validation": 3, "test": 4}
  monkeypatch.setattr(scene_list, "TEXT_SCENES", texts)


@pytest.fixture
def named_discs(monkeypatch):
  """The discs of the photographs are balls that somebody named."""
  source, table = Discs(), {}
  for index in range(len(source)):
    if index in (5, 7):
      continue
    row, column, _ = source.place(index)
    box = (column - 45, row - 45, column + 45, row + 45)
    digest = hashlib.sha256(source.load(index).tobytes()).hexdigest()
    table[digest[:16]] = (
      photo_scenes.NamedRegion(["ball", "", *box, 1, "red", "smooth"]),
    )
  monkeypatch.setattr(photo_scenes, "named_regions", lambda: table)


PACKAGES = ({"name": "p", "version": "1", "sha256": "0" * 64, "licence": "GPL-2"},)
NUM_UNITS = 100


def test_a_corpus_of_things_is_true_and_the_same_after_kills(
  few, little_text, named_discs, monkeypatch, tmp_path
):
  monkeypatch.setattr(build, "MEASURED_SHARE", 0.1)  # those are tested above
  some = _some_pictures()
  options = {"num_units": NUM_UNITS, "pictures": some, "packages": PACKAGES}
  whole = tmp_path / "whole"
  manifest = _build(whole, **options)
  store = StoredExemplars(whole)
  plans = manifest["units"]
  assert len(plans) == NUM_UNITS
  measured = round(build.MEASURED_SHARE * NUM_UNITS)
  known = {"nothing", "red", "blue", "horizontal edges", "smooth green"}
  for plan in plans[:measured]:
    assert set(plan["concept"].split(" + ")) <= known
  families = collections.Counter(plan["family"] for plan in plans[measured:])
  assert families["things"] > 5 and families["nothing"] > 0
  assert manifest["packages"] == list(PACKAGES)
  assert manifest["settings"]["num_units"] == NUM_UNITS

  # Parts of the measured units and of the named ones; the table says the same.
  expected = []
  for number in (measured, NUM_UNITS - measured):
    first, second = (round(share * number) for share in (0.82, 0.89))
    expected += ["train"] * first + ["validation"] * (second - first)
    expected += ["test"] * (number - second)
  assert [plan["split"] for plan in plans] == expected
  split = read_split(whole / "split.csv")
  assert split == {
    Unit(build.LAYER, unit): plan["split"] for unit, plan in enumerate(plans)
  }

  # Sources are split, near copies together, and no unit shows one of another part.
  sources = {row["key"]: row["split"] for row in manifest["pictures"]}
  assert list(sources) == [picture.key for picture in some]
  assert set(sources.values()) == set(units.SPLITS)
  for picture in some:
    assert sources[picture.key] == sources.get(picture.group, sources[picture.key])
  for row, picture in zip(manifest["pictures"], some, strict=True):
    digest = hashlib.sha256(picture.load().tobytes()).hexdigest()
    assert row["sha256"] == digest
  sources |= {row["name"]: row["split"] for row in manifest["photographs"]}
  kinds = set()
  for plan, names in zip(plans, _shown(whole), strict=True):
    for name in names:
      if name.startswith("text:"):
        assert name.split("#")[0] == f"text:{plan['split']}"
      else:
        assert sources[name.split("#")[0].split("@")[0]] == plan["split"]
      kinds.add(name.split("-")[0])
  assert {"p:duck", "p:car", "p:lava", "disc"} <= kinds

  # The masks show what the concepts say, on the pixels that are stored.
  _check_colors(whole, manifest)
  layer = store.exemplars(build.LAYER)
  pure = {
    "duck": np.array(CYAN) > 127,
    "car": np.array(MAGENTA) > 127,
    "lava": np.array((1, 0, 0), bool),
  }
  checked = collections.Counter()
  for row, plan in enumerate(plans):
    if plan["concept"] not in pure:
      continue
    masks = store.masks(build.LAYER, np.full(K, row), np.arange(K))
    for image, mask in zip(store.images(layer.image_rows[row]), masks, strict=True):
      found = (image[mask] > 150) == pure[plan["concept"]]
      assert found.all(-1).mean() > 0.7, plan
      checked[plan["concept"]] += 1
  assert min(checked[name] for name in pure) >= 2

  _check_truth(whole, plans, measured)

  before = _snapshot(whole)
  assert _build(whole, **options) == manifest
  stages = ["measuring photographs", "making maps", "writing measured units"]
  for _ in range(2):
    with pytest.raises(KeyboardInterrupt):
      _build(tmp_path / "killed", **options, progress=_killing(stages))
  assert stages[3:] == ["rendering scenes", "writing named units"]
  _build(tmp_path / "killed", **options, threads=1, progress=_killing(stages))
  assert _snapshot(tmp_path / "killed") == before
  assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]
  with pytest.raises(UserError, match="other settings or sources"):
    _build(whole, **options | {"pictures": some[1:]})


def _check_truth(folder, plans, measured):
  """The truth fits the units and their annotations, and its own captions are right."""
  value = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
  assert value["layer"] == build.LAYER
  rows = value["units"]
  annotations = read_annotations(folder)
  truths = read_truths(folder)
  assert len(truths) == len(rows) == len(plans)
  for caption in {text for each in annotations.values() for text in each}:
    assert not is_broken(caption) and not judges_persons(caption), caption
  for number, (row, plan) in enumerate(zip(rows, plans, strict=True)):
    unit = Unit(build.LAYER, number)
    assert (row["unit"], row["concept"], row["family"]) == (
      *(number, plan["concept"]),
      plan["family"],
    )
    assert row["negative"] == (plan["concept"] == "nothing")
    assert (unit in annotations) == (not row["negative"])
    if row["negative"]:
      assert row["lenient"] == row["strict"] == []
      assert set(row["references"]) <= set(NOTHING_PHRASES)
      assert judge("No clear pattern", truths[unit]).strict
      continue
    assert tuple(row["references"]) == tuple(annotations[unit])
    for text in row["references"]:
      assert judge(text, truths[unit]).lenient, (plan, text)
    wrong = "no clear pattern", "photographs of xylophones"
    assert not any(judge(text, truths[unit]).lenient for text in wrong)
  assert any(row["negative"] for row in rows[measured:])
  places = {f"{place} of the picture" for place in named_phrasings.PLACES}
  names = {name for row in rows for name in row["concept"].split(" + ")}
  assert {"duck", "car"} <= names - places
