"""Exemplar stores whose files do not fit each other are refused on opening."""

import json

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.probe.unit_selection import select_layers
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import layer_folder, write_exemplars
from milan_jax._src.store.original_layout import write_original_layout
from milan_jax._src.store.region_sets import RegionSetWriter
from tests.store.test_exemplar_store import SIZE, K, images, statistics

UNITS = 3


def without_checksums(folder):
  """The store as an earlier version wrote it, or as somebody's own program does."""
  meta = json.loads((folder / "meta.json").read_text())
  del meta["files"], meta["crc32"]
  (folder / "meta.json").write_text(json.dumps(meta))
  return folder


@pytest.fixture
def folder(tmp_path):
  found = statistics(UNITS, 4, 0)
  found.dead[:] = [False, True, False]
  write_exemplars(tmp_path / "store", {"conv": found}, ArrayImages(images()))
  return without_checksums(tmp_path / "store")


def changed(array, place, value):
  array = np.array(array)
  array[place] = value
  return array


FAULTS = {
  "units of a half": ("units", lambda x: x + 0.5, "units.npy: expected integers"),
  "a unit twice": (
    "units",
    lambda x: changed(x, 2, 0),
    r"each unit once, found 0 at \[2",
  ),
  "a unit below zero": (
    "units",
    lambda x: changed(x, 1, -5),
    r"from 0, found -5 at \[1",
  ),
  "a unit too many": ("units", lambda x: np.arange(4), r"of shape \(3\)"),
  "a row below zero": ("image_rows", lambda x: changed(x, (2, 1), -1), "found -1"),
  "a row too large": (
    "image_rows",
    lambda x: changed(x, (0, 2), 99),
    r"found 99 at \[0",
  ),
  "rows that are floats": (
    "image_rows",
    lambda x: x.astype(float),
    "expected integers",
  ),
  "rows of another k": ("image_rows", lambda x: x[:, :2], r"activations.npy: expected"),
  "no units": ("image_rows", lambda x: x[:0], "expected"),
  "a threshold that is NaN": ("levels", lambda x: changed(x, 0, np.nan), "found nan"),
  "an infinite threshold": ("levels", lambda x: changed(x, 2, np.inf), "found inf"),
  "an activation that is NaN": (
    "activations",
    lambda x: changed(x, (0, 1), np.nan),
    "nan",
  ),
  "dead as numbers": ("dead", lambda x: x.astype(int), "dead.npy: expected booleans"),
  "maps of another k": (
    "maps",
    lambda x: x[:, :2],
    r"maps.npy: expected floats of shape",
  ),
  "maps without columns": ("maps", lambda x: x[..., 0], "maps.npy: expected floats"),
  "counts below zero": ("num_ties", lambda x: x - 9, "num_ties.npy: expected counts"),
}


@pytest.mark.parametrize(("name", "change", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_inside_a_layer_is_found_on_opening(folder, name, change, message):
  path = layer_folder(folder, "conv") / f"{name}.npy"
  np.save(path, change(np.load(path)))
  with pytest.raises(UserError, match=message) as caught:
    open_exemplars(folder)
  assert str(folder) in str(caught.value)


def test_a_layer_of_no_units(folder):
  for path in layer_folder(folder, "conv").iterdir():
    np.save(path, np.load(path)[:0])
  with pytest.raises(UserError, match="expected at least one unit and one exemplar"):
    open_exemplars(folder)


def test_maps_that_are_nan_are_found_when_they_are_read(folder):
  path = layer_folder(folder, "conv") / "maps.npy"
  maps = np.load(path)
  maps[1] = np.nan  # of a dead unit: nothing is told by it
  np.save(path, maps)
  store = open_exemplars(folder)
  rows, slots = np.repeat(np.arange(UNITS), K), np.tile(np.arange(K), UNITS)
  assert store.masks("conv", rows, slots).shape == (UNITS * K, SIZE, SIZE)
  maps[2, 1, 3, 3] = np.nan
  np.save(path, maps)
  store = open_exemplars(folder)
  store.masks("conv", rows[:K], slots[:K])
  with pytest.raises(UserError, match=r"maps.npy: expected maps without NaN"):
    store.masks("conv", rows, slots)


WHOLE = {
  "no layers": ("meta.json", {"layers": []}, "expected distinct layers"),
  "a layer twice": ("meta.json", {"layers": ["conv", "conv"]}, "distinct layers"),
  "layers of numbers": ("meta.json", {"layers": [3]}, "layers as a str"),
  "layers as text": ("meta.json", {"layers": "conv"}, "layers as a list"),
  "no info": ("meta.json", {"info": None}, "info as a dict"),
  "another format": (
    "meta.json",
    {"format": "x"},
    "is not from an exemplar store",
  ),
  "a layer that is not there": (
    "meta.json",
    {"layers": ["x"]},
    "image_rows.npy is missing",
  ),
  "names of numbers": ("image_names.json", [1] * 8, "expected a name for each"),
  "names missing": ("image_names.json", ["a"], "a name for each of 6 images, found 1"),
  "names as an object": ("image_names.json", {}, "expected a list, found a dict"),
}


@pytest.mark.parametrize(("name", "value", "message"), WHOLE.values(), ids=WHOLE)
def test_a_description_that_does_not_fit(folder, name, value, message):
  path = folder / name
  known = json.loads(path.read_text())
  path.write_text(json.dumps({**known, **value} if name == "meta.json" else value))
  with pytest.raises(UserError, match=message) as caught:
    open_exemplars(folder)
  assert str(folder) in str(caught.value)


def test_images_and_their_ids(folder):
  ids = np.load(folder / "image_ids.npy")
  for value, message in (
    (changed(ids, 1, -3), "ids from 0, found -3"),
    (ids[1:], "shape"),
  ):
    np.save(folder / "image_ids.npy", value)
    with pytest.raises(UserError, match=message):
      open_exemplars(folder)


def test_regions_whose_masks_are_too_short(tmp_path):
  with RegionSetWriter(tmp_path / "store", "c", k=2, size=SIZE) as writer:
    rows = [writer.image(n, image) for n, image in enumerate(images(2))]
    writer.add(0, rows, np.ones((2, SIZE, SIZE), bool))
  path = layer_folder(without_checksums(tmp_path / "store"), "c") / "masks.npy"
  np.save(path, np.load(path)[..., :-1])
  with pytest.raises(
    UserError, match=r"masks.npy: expected integers of shape \(1, 2, 32"
  ):
    open_exemplars(tmp_path / "store")


def test_a_changed_byte_of_any_file_is_found(tmp_path):
  found = statistics(UNITS, 4, 0)
  folder = tmp_path / "store"
  write_exemplars(folder, {"conv": found}, ArrayImages(images()))
  files = [path for path in folder.rglob("*") if path.is_file()]
  assert len(files) > 10
  for path in files:
    whole = path.read_bytes()
    place = whole.rindex(b"0") if path.suffix == ".json" else len(whole) - 1
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(UserError) as caught:
      open_exemplars(folder)
    assert str(path) in str(caught.value)
    path.write_bytes(whole)
  assert open_exemplars(folder).layers == ("conv",)


# Names of layers.

NAMES = ("..", ".", "a/../b", "x" * 300, "x" * 299 + "y", "ä" * 120, "a,b", "a", "")


def test_layers_of_any_name_lie_in_folders_of_their_own(tmp_path):
  folders = {layer_folder(tmp_path, name) for name in NAMES}
  assert len(folders) == len(NAMES)
  for folder in folders:
    assert folder.parent == tmp_path / "layers"
    assert len(folder.name.encode()) <= 255 and folder.name not in (".", "..", "")
  some = {name: statistics(2, 2, seed) for seed, name in enumerate(NAMES)}
  write_exemplars(tmp_path / "store", some, ArrayImages(images()))
  store = open_exemplars(tmp_path / "store")
  assert store.layers == NAMES
  for name, found in some.items():
    np.testing.assert_array_equal(store.exemplars(name).thresholds, found.thresholds)
  # Where stores of earlier versions have them.
  assert layer_folder(tmp_path, "z/1.conv,2").name == "z%2F1.conv%2C2"


@pytest.mark.parametrize("name", ["..", "a/../../b", "/a", "a//b", "x" * 256])
def test_the_originals_layout_is_not_written_outside_its_folder(name, tmp_path):
  write_exemplars(
    tmp_path / "store", {name: statistics(2, 2, 0)}, ArrayImages(images())
  )
  with pytest.raises(UserError, match="cannot be the name of a folder in"):
    write_original_layout(tmp_path / "out", open_exemplars(tmp_path / "store"))
  assert not (tmp_path / "out").exists()


def test_layers_whose_names_hold_commas_are_chosen():
  names = ("add(a, b)", "a", "b", "a,b", "c,d,e")
  assert select_layers(names, "add(a, b)") == ("add(a, b)",)
  assert select_layers(names, "b,a,b,c,d,e") == ("b", "a,b", "c,d,e")
  assert select_layers(names, "add(a, b), a") == ("add(a, b)", "a")
  assert select_layers(names, "b,a") == ("b", "a")
  assert select_layers(names, "c*,0") == ("c,d,e", "add(a, b)")
