"""Features on disk: written in any order, read by place, refused when not whole."""

import dataclasses
import json

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.records import LayerExemplars, Unit
from milan_jax._src.store.feature_store import (
  FeatureStore,
  FeatureWriter,
  open_features,
)

K, SIZE = 3, 5


def _layer(name, units, dead=()):
  rows = np.zeros((len(units), K), int)
  is_dead = np.isin(np.arange(len(units)), dead)
  return LayerExemplars(name, np.array(units), rows, rows, None, None, is_dead)


LAYERS = (_layer("a", [0, 2, 4, 6], dead=[1]), _layer("b/c", [9, 8, 7]))


def _values():
  rng = np.random.default_rng(0)
  return [
    rng.normal(size=(len(layer.units), K, SIZE)).astype(np.float32) for layer in LAYERS
  ]


@pytest.fixture
def store(tmp_path):
  values = _values()
  with FeatureWriter(tmp_path, LAYERS, feature_size=SIZE, total=2) as writer:
    places = [(n, *p) for n, v in enumerate(values) for p in np.ndindex(*v.shape[:2])]
    for i in np.random.default_rng(1).permutation(len(places)).tolist():
      layer, row, slot = places[i]
      writer.write(layer, row, slot, values[layer][row, slot])
    writer.save(2)
  return tmp_path


def test_units_are_read_across_layers_in_order(store):
  found = open_features(store)
  whole = np.concatenate(_values())
  assert len(found) == 7 and found.layers == ("a", "b/c")
  np.testing.assert_array_equal(found.read(0, 7), whole)
  np.testing.assert_array_equal(found.read(3, 5), whole[3:5])
  np.testing.assert_array_equal(found.read(6, 100), whole[6:])
  assert list(found.units(0, 3)) == [
    (Unit("a", 0), False),
    (Unit("a", 2), True),
    (Unit("a", 4), False),
  ]
  assert list(found.units(3, 5)) == [(Unit("a", 6), False), (Unit("b/c", 9), False)]
  for name, values in zip(found.layers, _values(), strict=True):
    np.testing.assert_array_equal(found.tables()[name], values)


def test_units_that_fire_seldom_have_fewer_regions(tmp_path):
  fires = np.array([7, 2, 0, 1])
  rare = dataclasses.replace(
    LAYERS[0], num_firing=fires, num_images=np.array([9, 9, 9, 8])
  )
  with FeatureWriter(tmp_path, [rare, LAYERS[1]], feature_size=SIZE, total=1) as writer:
    writer.save(1)
  found = open_features(tmp_path)
  # Of a unit that never fires, as of one of which it is not known, all count.
  assert found.num_regions(0, 7).tolist() == [K, 2, K, 1, K, K, K]
  assert list(found.firing(2, 5)) == [(0, 9), (1, 8), None]
  some = FeatureStore(tmp_path, {"b/c": np.array([1]), "a": np.array([3, 1])})
  assert some.num_regions(0, 3).tolist() == [K, 1, 2]
  assert list(some.firing(0, 3)) == [None, (1, 8), (2, 9)]


def test_some_units_of_some_layers(store):
  found = FeatureStore(store, {"b/c": np.array([2, 0]), "a": np.array([1])})
  first, second = _values()
  np.testing.assert_array_equal(
    found.read(0, 3), np.stack([second[2], second[0], first[1]])
  )
  units = [(Unit("b/c", 7), False), (Unit("b/c", 9), False), (Unit("a", 2), True)]
  assert list(found.units(0, 3)) == units


def test_its_files_hold_all_features(store):
  files = dict(open_features(store).files())
  assert sorted(files) == ["0.npy", "1.npy", "index.json"]
  for number in range(2):
    np.testing.assert_array_equal(np.load(files[f"{number}.npy"]), _values()[number])


def test_what_is_not_whole_is_refused(store, tmp_path_factory):
  (store / "progress.json").write_text(json.dumps({"done": 1, "total": 2}))
  with pytest.raises(UserError, match="1 of 2 images"):
    open_features(store)
  (store / "progress.json").unlink()
  with pytest.raises(UserError, match="0 of 1 images"):
    open_features(store)
  with pytest.raises(UserError, match="holds no features"):
    open_features(tmp_path_factory.mktemp("empty"))


def test_progress_without_an_index_is_not_believed(tmp_path):
  (tmp_path / "progress.json").write_text(json.dumps({"done": 2, "shapes": {}}))
  with FeatureWriter(tmp_path, LAYERS, feature_size=SIZE, total=2) as writer:
    assert writer.done == 0


def test_a_file_that_was_cut_short_is_told(store):
  path = store / "1.npy"
  whole, opened = path.read_bytes(), open_features(store)
  path.write_bytes(whole[:-4])
  with pytest.raises(UserError, match=r"1\.npy is corrupt"):
    opened.read(0, 7)
  with pytest.raises(UserError, match=r"1\.npy is corrupt"):
    open_features(store)


@pytest.mark.parametrize("name", ["index.json", "0.npy", "1.npy", "progress.json"])
def test_a_changed_byte_of_any_file_is_found(store, name):
  path = store / name
  whole = path.read_bytes()
  place = whole.rindex(b"2") if path.suffix == ".json" else len(whole) - 1
  path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
  with pytest.raises(UserError) as caught:
    open_features(store)
  assert str(path) in str(caught.value)


@pytest.mark.parametrize(
  "change",
  [
    lambda layer: layer.update(name=3),
    lambda layer: layer.update(units=[0, 0, 5]),
    lambda layer: layer.update(units=[0, 1.5, 5]),
    lambda layer: layer.update(units=[0]),
    lambda layer: layer.update(dead=[99]),
    lambda layer: layer.update(dead="no"),
    lambda layer: layer.update(shape=[-1, 2, 3]),
    lambda layer: layer.update(shape=[4, 2]),
    lambda layer: layer.update(fires=[1, 2, 3]),
    lambda layer: layer.pop("units"),
  ],
)
def test_an_index_that_does_not_fit(store, change):
  """As a program of somebody else's may write it, without checksums."""
  index = json.loads((store / "index.json").read_text())
  change(index["layers"][0])
  (store / "index.json").write_text(json.dumps(index))
  (store / "progress.json").write_text(json.dumps({"done": 2, "total": 2}))
  with pytest.raises(UserError, match=r"index\.json: the entries of layer 0"):
    open_features(store)


def test_features_of_something_else_are_not_overwritten(store):
  for layers, message in (
    (LAYERS[:1], "expected features of"),
    ((_layer("a", [0, 2, 4, 5]), LAYERS[1]), "of other units"),
  ):
    with pytest.raises(UserError, match=message):
      FeatureWriter(store, layers, feature_size=SIZE, total=2)
