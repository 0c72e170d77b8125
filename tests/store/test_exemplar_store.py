import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from milan_jax._src.catalog.regions import GAP_GRAY, TILE, tile
from milan_jax._src.errors import UserError
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.source import RgbImages
from milan_jax._src.records import ExemplarSet
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import StoredExemplars, write_exemplars
from milan_jax._src.store.original_layout import (
  OriginalExemplars,
  write_original_layout,
)
from milan_jax._src.store.region_sets import RegionSetWriter

K, SIZE = 3, 16


def images(number=12):
  return np.random.default_rng(5).integers(0, 256, (number, SIZE, SIZE, 3), np.uint8)


def statistics(units, height, seed):
  rng = np.random.default_rng(seed)
  return LayerStatistics(
    image_ids=np.stack([rng.permutation(np.r_[1, 4:11])[:K] for _ in range(units)]),
    activations=rng.standard_normal((units, K)).astype(np.float32),
    maps=rng.standard_normal((units, K, height, height)).astype(np.float32),
    thresholds=rng.standard_normal(units).astype(np.float32) / 4,
    dead=rng.random(units) < 0.3,
    num_bad_maps=np.arange(units),
    num_ties=np.arange(units)[::-1],
  )


@pytest.fixture
def layers():
  # A name that no folder may have, in an order that is not sorted.
  return {"z/1.conv": statistics(3, 4, 0), "a": statistics(4, 1, 1)}


@pytest.fixture
def store(layers, tmp_path):
  units = {"z/1.conv": np.array([0, 2, 3])}
  write_exemplars(
    tmp_path / "store",
    layers,
    ArrayImages(images()),
    units=units,
    info={"model": "m", "k": K},
  )
  return open_exemplars(tmp_path / "store")


def test_what_is_written_is_read(store, layers):
  assert isinstance(store, ExemplarSet)
  assert store.layers == ("z/1.conv", "a")
  assert store.info == {"model": "m", "k": K}
  found, want = store.exemplars("z/1.conv"), layers["z/1.conv"]
  np.testing.assert_array_equal(found.units, [0, 2, 3])
  np.testing.assert_array_equal(found.image_ids, want.image_ids)
  np.testing.assert_array_equal(found.activations, want.activations)
  np.testing.assert_array_equal(found.thresholds, want.thresholds)
  np.testing.assert_array_equal(found.dead, want.dead)
  assert store.exemplars("a").units.tolist() == [0, 1, 2, 3]


def test_a_store_is_read_by_a_relative_path(store, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  relative = open_exemplars("store")
  for name in store.layers:
    np.testing.assert_array_equal(
      relative.exemplars(name).image_rows, store.exemplars(name).image_rows
    )


def test_each_image_is_there_once(store, layers):
  ids = np.unique(
    np.concatenate([store.exemplars(layer).image_ids.ravel() for layer in store.layers])
  )
  assert store.num_images == len(ids) < 12
  for layer in store.layers:
    found = store.exemplars(layer)
    shown = store.images(found.image_rows.ravel())
    np.testing.assert_array_equal(shown, images()[found.image_ids.ravel()])
    names = store.image_names(found.image_rows.ravel())
    assert names == [str(image) for image in found.image_ids.ravel()]


@pytest.mark.parametrize("size", [None, 7, 40])
def test_masks_are_made_at_any_size(store, layers, size):
  rows, slots = np.array([2, 0, 2]), np.array([1, 2, 0])
  masks = store.masks("z/1.conv", rows, slots, size=size)
  want = activation_masks(
    layers["z/1.conv"].maps[rows, slots],
    layers["z/1.conv"].thresholds[rows],
    size=size or SIZE,
  )
  np.testing.assert_array_equal(masks, want)
  assert 0 < masks.mean() < 1


def test_oblong_images_and_their_masks(tmp_path):
  found = statistics(2, 4, 0)
  pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 48, 1), np.uint8)
  gray = ArrayImages(pixels, Geometry((18, 54), (16, 48), channels=1))
  write_exemplars(tmp_path / "store", {"a": found}, RgbImages(gray, gray.size))
  store = open_exemplars(tmp_path / "store")
  ids = store.exemplars("a").image_ids
  shown = store.images(store.exemplars("a").image_rows[0])
  np.testing.assert_array_equal(shown, np.repeat(pixels[ids[0]], 3, axis=3))
  rows, slots = np.zeros(K, int), np.arange(K)
  masks = store.masks("a", rows, slots)
  assert masks.shape == (K, 16, 48)
  # Side by side, as two squares of the same maps would have them.
  square = activation_masks(found.maps[0], found.thresholds[[0] * K], size=16)
  np.testing.assert_array_equal(masks[:, :, 1::3], square)
  write_original_layout(tmp_path / "theirs", store)
  theirs = open_exemplars(tmp_path / "theirs")
  np.testing.assert_array_equal(theirs.masks("a", rows, slots), masks)
  assert tile(shown[0], masks[0]).shape == (TILE, TILE, 3)
  assert (tile(shown[0], masks[0])[:18] == GAP_GRAY).all()


def test_a_layer_that_is_not_there(store):
  with pytest.raises(UserError, match=r"no layer 'b'; it has z/1\.conv, a"):
    store.exemplars("b")


def test_a_store_is_never_overwritten(store, layers, tmp_path):
  with pytest.raises(UserError, match="already exists"):
    write_exemplars(tmp_path / "store", layers, ArrayImages(images()))


def test_nothing_is_left_of_a_store_that_failed(layers, tmp_path):
  class Lost(ArrayImages):
    def name(self, index):
      raise RuntimeError("lost")

  with pytest.raises(RuntimeError):
    write_exemplars(tmp_path / "new", layers, Lost(images()))
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("meta.json", b"{", "not JSON"),
    ("meta.json", b"{}", "expected the format"),
    ("images.npy", b"junk", "corrupt"),
    ("images.npy", None, "missing"),
    ("image_names.json", b"[]", "damaged"),
    ("layers/a/levels.npy", None, "missing"),
    ("layers/a/levels.npy", b"", "corrupt"),
  ],
)
def test_a_damaged_store(store, tmp_path, name, content, message):
  path = tmp_path / "store" / name
  path.unlink() if content is None else path.write_bytes(content)
  with pytest.raises(UserError, match=message):
    StoredExemplars(tmp_path / "store").exemplars("a")


def test_open_says_what_it_looked_for(tmp_path):
  with pytest.raises(UserError, match="There is no folder"):
    open_exemplars(tmp_path / "none")
  (tmp_path / "other").mkdir()
  with pytest.raises(UserError, match=r"expected meta\.json"):
    open_exemplars(tmp_path / "other")
  layer = tmp_path / "layout" / "a"
  layer.mkdir(parents=True)
  np.save(layer / "images.npy", np.zeros((1, 1, 3, 4, 4), np.uint8))
  np.save(layer / "masks.npy", np.zeros((1, 1, 1, 4, 4), np.uint8))
  assert isinstance(open_exemplars(tmp_path / "layout"), OriginalExemplars)


def given_regions(folder, size=7):
  """Three units of two regions, of three images; 49 pixels fill no whole byte."""
  rng = np.random.default_rng(0)
  pictures = rng.integers(0, 256, (3, size, size, 3), np.uint8)
  masks = rng.random((3, 2, size, size)) < 0.5
  used = [[0, 1], [1, 2], [0, 2]]
  with RegionSetWriter(folder, "corpus", 2, size, info={"seed": 1}) as writer:
    for unit, keys in enumerate(used):
      rows = [writer.image(f"photo {key}", pictures[key]) for key in keys]
      writer.add(10 * unit, rows, masks[unit])
    assert writer.image("photo 1") == 1
  return pictures, masks, used


def test_regions_with_given_masks(tmp_path):
  pictures, masks, used = given_regions(tmp_path / "set")
  store = open_exemplars(tmp_path / "set")
  assert store.layers == ("corpus",)
  assert store.num_images == 3
  assert store.info == {"seed": 1}
  found = store.exemplars("corpus")
  assert found.units.tolist() == [0, 10, 20]
  assert found.thresholds is None
  assert found.activations is None
  assert not found.dead.any()
  np.testing.assert_array_equal(found.image_rows, used)
  np.testing.assert_array_equal(store.images(np.array([2, 0])), pictures[[2, 0]])
  assert store.image_names(np.array([2])) == ["photo 2"]
  rows, slots = np.array([2, 0, 1]), np.array([0, 1, 1])
  read = store.masks("corpus", rows, slots)
  np.testing.assert_array_equal(read, masks[rows, slots])
  assert read.dtype == bool
  with pytest.raises(UserError, match="given at 7 x 7"):
    store.masks("corpus", rows, slots, size=8)


def test_regions_that_do_not_fit_leave_nothing(tmp_path):
  picture, masks = np.zeros((7, 7, 3), np.uint8), np.zeros((2, 7, 7), bool)
  folder = tmp_path / "set"
  for wrong in (
    lambda writer: writer.image("b"),
    lambda writer: writer.image("b", picture[:6, :6]),
    lambda writer: writer.add(0, [0, 1], masks),
    lambda writer: writer.add(0, [0], masks),
    lambda writer: writer.add(0, [0, 0], masks[:1]),
  ):
    with (
      pytest.raises(ValueError),
      RegionSetWriter(folder, "a", 2, 7) as writer,
    ):
      writer.image("a", picture)
      wrong(writer)
  with (
    pytest.raises(UserError, match="no region"),
    RegionSetWriter(folder, "a", 2, 7),
  ):
    pass
  assert list(tmp_path.iterdir()) == []


ROOT = pathlib.Path(__file__).parents[2]


def files(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def job(*arguments, **streams):
  # A fresh process, so that what survives is what lies on disk.
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}
  command = [sys.executable, "-m", "tests.exemplars.resumable_pass", *arguments]
  return subprocess.Popen(command, env=environment, cwd=ROOT, **streams)


def test_killed_in_the_middle_and_run_again_gives_the_same_bytes(tmp_path):
  assert job(tmp_path / "whole").wait(120) == 0
  broken = tmp_path / "broken"
  # It waits after each batch to be told to go on, and is not told after the third.
  with job(broken, "ask", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
    for number in range(3):
      assert first.stdout.readline() == b"seen\n"
      if number < 2:
        first.stdin.write(b"\n")
        first.stdin.flush()
    assert (broken / "progress.npz").exists()
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
  assert not (broken / "store").exists()
  assert job(broken).wait(120) == 0
  resumed_at = json.loads((broken / "resumed.json").read_text())
  assert 0 < resumed_at < 10
  assert files(broken / "store") == files(tmp_path / "whole" / "store")


def test_groups_of_images_and_margins_are_kept(layers, tmp_path):
  class Crops(ArrayImages):
    def groups(self):
      return (np.arange(12) // 3).tolist()

  margins = np.array([0, 1, 2], np.float32)
  off = np.array([True, False, False])
  positions = np.array([0, 0, 1])
  found = dataclasses.replace(
    layers["z/1.conv"], margins=margins, off=off, positions=positions
  )
  units = {"a": np.array([4, 7])}
  write_exemplars(tmp_path / "store", {"a": found}, Crops(images()), units=units)
  store = open_exemplars(tmp_path / "store")
  layer = store.exemplars("a")
  assert layer.units.tolist() == [4, 4, 7]
  assert [unit.sign for unit in layer.signed_units()] == ["off", "on", "on"]
  groups = store.image_groups(layer.image_rows[0])
  assert groups.tolist() == (found.image_ids[0] // 3).tolist()
  slots = np.arange(K)
  for row, margin in enumerate(margins):
    expected = activation_masks(
      found.maps[row], np.repeat(found.thresholds[row] + margin, K), size=SIZE
    )
    np.testing.assert_array_equal(store.masks("a", np.full(K, row), slots), expected)
  again = dataclasses.replace(found, off=np.array([False, False, False]))
  with pytest.raises(UserError, match="each unit once"):
    write_exemplars(tmp_path / "twice", {"a": again}, Crops(images()), units=units)
    open_exemplars(tmp_path / "twice")
