"""Exemplars as data sets of TFDS: what is read equals what was written."""

import dataclasses
import shutil
import types

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.options.data import AnnotatedDataOptions
from milan_jax._src.options.train import SetOptions
from milan_jax._src.records import ExemplarSet, LayerExemplars
from milan_jax._src.store import milannotations_job
from milan_jax._src.store.exemplar_records import (
  META,
  RecordedExemplars,
  write_exemplar_records,
)
from milan_jax._src.store.exemplar_sets import (
  exemplar_files,
  open_exemplars,
  set_folder,
  set_name,
)
from milan_jax._src.store.milannotations_job import run_action
from milan_jax._src.training.joined_folders import read_whole
from tests.helpers.annotated_set import SIZE, UNITS, K, write_set
from tests.helpers.remote_paths import StandIn

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = write_set(tmp_path_factory.mktemp("sets") / "a", 0)
  # Two units share an image; the ids tell which.
  ids = np.arange(UNITS * K).reshape(UNITS, K) + 100
  ids[1, 0] = ids[0, 1]
  images = np.load(folder / "one" / "images.npy")
  images[1, 0] = images[0, 1]
  np.save(folder / "one" / "images.npy", images)
  np.savetxt(folder / "one" / "ids.csv", ids, fmt="%d", delimiter=",")
  values = np.linspace(9, 1, UNITS * K).reshape(UNITS, K)
  np.savetxt(folder / "one" / "activations.csv", values, fmt="%.5e", delimiter=",")
  np.save(folder / "one" / "units.npy", np.array([4, 0, 1, 2, 3, 9]))
  return folder


def _write(folder, out):
  run_action("records", AnnotatedDataOptions(data=str(folder), out=str(out)))


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
  out = tmp_path_factory.mktemp("records")
  _write(folder, out)
  return out


@pytest.fixture(scope="module")
def recorded(out):
  return open_exemplars(out / "milan_exemplars" / "a" / "1.0.0")


def test_exemplars_are_those_of_the_folder(folder, recorded):
  expected = open_exemplars(folder)
  assert isinstance(recorded, RecordedExemplars) and isinstance(recorded, ExemplarSet)
  assert recorded.layers == expected.layers == ("2", "one")
  assert recorded.num_images == expected.num_images == 2 * UNITS * K - 1
  rows = np.random.default_rng(0).permutation(recorded.num_images)
  np.testing.assert_array_equal(recorded.images(rows), expected.images(rows))
  for layer in recorded.layers:
    found, known = recorded.exemplars(layer), expected.exemplars(layer)
    for field in dataclasses.fields(known):
      value = getattr(known, field.name)
      if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(getattr(found, field.name), value)
        assert getattr(found, field.name).dtype == value.dtype
      else:
        assert getattr(found, field.name) == value
    units, slots = (each.ravel() for each in np.indices((UNITS, K)))
    np.testing.assert_array_equal(
      recorded.masks(layer, units, slots), expected.masks(layer, units, slots)
    )


def test_rows_that_there_are_not(recorded):
  for row, slot in ((UNITS, 0), (0, K)):
    with pytest.raises(UserError, match=f"expected 0 to .*; found {max(row, slot)}"):
      recorded.masks("2", np.array([row]), np.array([slot]))
  with pytest.raises(UserError, match="rows of images: expected 0 to"):
    recorded.images(np.array([-1]))
  with pytest.raises(UserError, match="no layer 'zz'; the exemplars are of 2, one"):
    recorded.exemplars("zz")


def test_captions_and_parts_are_those_of_the_folder(folder, out):
  sets = [
    read_whole(SetOptions(exemplars=str(path)), say=print) for path in (folder, out)
  ]
  for field in ("described", "split", "left_out", "truths"):
    assert getattr(sets[0], field) == getattr(sets[1], field)
  assert sets[0].units() == sets[1].units()


def test_any_reader_of_tfds_reads_a_whole_record(folder, recorded):
  source = tfds.builder_from_directory(recorded.folder).as_data_source("units")
  assert len(source) == 2 * UNITS
  found = source[UNITS]  # the first unit of the second layer
  assert (found["layer"], found["unit"], found["sign"]) == (b"one", 4, b"on")
  captions = [text.decode() for text in found["captions"]]
  # Captions are of unit 4, not of the first row.
  assert captions == ["green things", "the green, ünd sky"]
  images = np.load(folder / "one" / "images.npy")[0].transpose(0, 2, 3, 1)
  np.testing.assert_array_equal(np.stack(found["images"]), images)
  np.testing.assert_array_equal(found["masks"], recorded.masks(
    "one", np.zeros(K, int), np.arange(K)
  ))  # fmt: skip
  assert found["masks"].shape == (K, SIZE, SIZE)


def test_the_folder_names_its_files_and_itself(recorded):
  assert set_name(recorded.folder) == "a"
  names = {name for name, _ in exemplar_files(recorded.folder)}
  assert {"index.npz", "annotations.csv", "split.csv"} < names
  assert any("array_record" in name for name in names)


def test_the_same_exemplars_give_the_same_bytes(folder, recorded, tmp_path):
  _write(folder, tmp_path)
  for path in recorded.folder.iterdir():
    again = tmp_path / "milan_exemplars" / "a" / "1.0.0" / path.name
    assert again.read_bytes() == path.read_bytes()
  with pytest.raises(UserError, match="already exists"):
    _write(folder, tmp_path)


def test_remote_data_sets_are_copied(folder, recorded, tmp_path, monkeypatch):
  StandIn.keep_in(tmp_path / "bucket")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  _write(folder, "stand-in://b/sets")
  local = set_folder("stand-in://b/sets")
  assert local.is_relative_to(tmp_path / "cache")
  assert {path.name: path.read_bytes() for path in local.iterdir()} == {
    path.name: path.read_bytes() for path in recorded.folder.iterdir()
  }
  assert set_name(local) == "a"
  with pytest.raises(UserError, match=r"expected a data set of exemplars.* none"):
    set_folder("stand-in://b/nothing")
  # A table of the same size with another word is copied again.
  changed = tmp_path / "a"
  shutil.copytree(folder, changed)
  table = (changed / "annotations.csv").read_bytes()
  (changed / "annotations.csv").write_bytes(table.replace(b"green", b"black"))
  _write(changed, "stand-in://b/sets")
  local = set_folder("stand-in://b/sets")
  assert b"black" in (local / "annotations.csv").read_bytes()


def test_damaged_data_sets_are_refused(recorded, tmp_path):
  folder = tmp_path / "damaged"
  shutil.copytree(recorded.folder, folder)
  (folder / "index.npz").unlink()
  with pytest.raises(UserError, match=r"index\.npz is missing"):
    open_exemplars(folder)
  about = (folder / META).read_text()
  (folder / META).write_text(about.replace('"num_images": 23', '"num_images": 24'))
  with pytest.raises(UserError, match="was changed after it was written"):
    open_exemplars(folder)


def _empty(layers, units, num_images):
  """Exemplars of layers that have no units, or of no images."""
  zeros = np.zeros((units, K), np.int64)
  found = LayerExemplars(
    "a", np.arange(units), zeros, zeros, None, None, np.zeros(units, bool)
  )
  return types.SimpleNamespace(
    layers=layers,
    num_images=num_images,
    exemplars=lambda layer: found,
    images=pytest.fail,
    masks=pytest.fail,
  )


@pytest.mark.parametrize(
  ("exemplars", "words"),
  [
    (_empty((), 0, 0), "found 0 layers, 0 units and 0 images"),
    (_empty(("a", "b"), 0, 3), "found 2 layers, 0 units and 3 images"),
    (_empty(("a",), 2, 0), "found 1 layers, 2 units and 0 images"),
  ],
)
def test_a_set_without_exemplars_is_refused(tmp_path, exemplars, words):
  with pytest.raises(UserError, match=words):
    write_exemplar_records(tmp_path / "x", exemplars, name="x", annotations={})
  assert not list(tmp_path.iterdir())


def test_two_writers_of_one_name_do_not_share_a_folder(folder, tmp_path, monkeypatch):
  """Remote data sets are written here first, each in a place of its own."""
  StandIn.keep_in(tmp_path / "store")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  places = []

  def noted(local, target, *, stamp):
    places.append((target, local))
    (local / "theirs").write_text(target)

  monkeypatch.setattr(milannotations_job, "put", noted)
  for out in ("stand-in://bucket/x", "stand-in://bucket/y", "stand-in://bucket/x"):
    _write(folder, out)
  (x, at_x), (y, at_y), (_, again) = places
  assert x != y and at_x != at_y and at_x == again
