"""Units whose regions belong to different units."""

import numpy as np
import pytest

from milan_jax._src.api.stores import open_exemplars
from milan_jax._src.errors import UserError
from milan_jax._src.lab.annotation.shuffled_units import write_shuffled
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.splits import read_split
from milan_jax._src.text.wording import NOTHING_PHRASES
from tests.helpers.sheet_stores import UNITS, K, statistics, write_store

UNITS_MADE = 12


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stores")
  for number, name in enumerate(("first", "second")):
    layers = {layer: statistics(number + more) for layer, more in (("a", 0), ("b", 9))}
    write_store(folder / name / "exemplars", layers)
  return [str(folder / name / "exemplars") for name in ("first", "second")]


@pytest.fixture(scope="module")
def made(stores, tmp_path_factory):
  out = tmp_path_factory.mktemp("made") / "shuffled"
  write_shuffled(stores, str(out), num_units=UNITS_MADE, k=4)
  return out


def _sources(stores):
  """Every region of the stores: image and mask as bytes, to the unit it belongs to."""
  found = {}
  for number, folder in enumerate(stores):
    store = open_exemplars(folder)
    for layer in store.layers:
      for row in range(1, UNITS):
        slots = np.arange(K)
        masks = store.masks(layer, np.full(K, row), slots)
        images = store.images(store.exemplars(layer).image_rows[row])
        for image, mask in zip(images, masks, strict=True):
          key = image.tobytes() + mask.tobytes()
          found.setdefault(key, set()).add((number, layer, row))
  return found


def test_regions_belong_to_different_units_of_one_network(stores, made):
  sources, store = _sources(stores), open_exemplars(made)
  (layer,) = store.layers
  rows = store.exemplars(layer).image_rows
  assert rows.shape == (UNITS_MADE, 4)
  layers_of = []
  for unit in range(UNITS_MADE):
    masks = store.masks(layer, np.full(4, unit), np.arange(4))
    images = store.images(rows[unit])
    assert len({image.tobytes() for image in images}) == 4
    owners = [
      sources[image.tobytes() + mask.tobytes()]
      for image, mask in zip(images, masks, strict=True)
    ]
    assert all(any(one[0] == unit % 2 for one in each) for each in owners)
    assert len(set.union(*owners)) >= 4
    assert not set.intersection(*owners)
    layers_of.append({layer for each in owners for _, layer, _ in each})
  # Of all layers: a unit whose four are all of one is the exception.
  assert sum(each == {"a", "b"} for each in layers_of) > UNITS_MADE / 2


def test_they_are_described_as_nothing_in_training_and_validation(made):
  captions, split = read_annotations(made), read_split(made / "split.csv")
  assert len(captions) == len(split) == UNITS_MADE
  for said in captions.values():
    assert len(set(said)) == 2 and set(said) <= set(NOTHING_PHRASES)
  assert set(split.values()) == {"train", "validation"}


def test_the_same_command_writes_the_same_bytes(stores, made, tmp_path):
  again = tmp_path / "shuffled"
  write_shuffled(stores, str(again), num_units=UNITS_MADE, k=4)
  paths = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
  assert len(paths) > 5
  for path in paths:
    assert (again / path).read_bytes() == (made / path).read_bytes()


def test_too_few_images_are_refused(stores, tmp_path):
  with pytest.raises(UserError, match="expected 13 regions on different images; found"):
    write_shuffled(stores, str(tmp_path / "out"), k=13)
  assert not (tmp_path / "out").exists()
