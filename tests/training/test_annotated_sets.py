"""Several folders of annotated exemplars as one."""

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.options.train import DataOptions
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import write_annotations
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.training.annotated_sets import read_sets

K = 2


def write_set(folder, *, size, units, seed, split=True):
  """A store of units of random regions, described and split."""
  rng = np.random.default_rng(seed)
  with RegionSetWriter(folder, "conv", k=K, size=size) as writer:
    for unit in range(units):
      masks = rng.random((K, size, size)) < 0.5
      rows = [
        writer.image((unit, slot), rng.integers(0, 256, (size, size, 3), np.uint8))
        for slot in range(K)
      ]
      writer.add(unit, rows, masks)
  described = {Unit("conv", unit): (f"{folder.name} {unit}",) for unit in range(units)}
  write_annotations(folder / "annotations.csv", described)
  if split:
    parts = ["train", "validation", "test"]
    rows = [f"conv,{unit},{parts[unit % 3]}" for unit in range(units)]
    (folder / "split.csv").write_text("\n".join(["layer,unit,split", *rows]))
  return folder


def read(*folders, **options):
  data = DataOptions(exemplars=",".join(map(str, folders)), **options)
  return read_sets(data, seed=0, say=lambda line: None)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  path = tmp_path_factory.mktemp("sets")
  return [
    write_set(path / "one", size=16, units=4, seed=0),
    write_set(path / "two", size=24, units=5, seed=1),
  ]


def test_layers_are_named_by_their_folders(folders):
  found = read(*folders)
  assert found.exemplars.layers == ("one:conv", "two:conv")
  assert list(found.annotations[Unit("two:conv", 3)]) == ["two 3"]
  assert found.split[Unit("one:conv", 1)] == "validation"
  assert [len(rows) for rows in found.rows] == [4, 3, 2]


def test_images_and_masks_come_at_the_size_of_the_first(folders):
  joined = read(*folders).exemplars
  alone = [read(folder).exemplars for folder in folders]
  assert joined.num_images == sum(one.num_images for one in alone)
  first, second = (joined.exemplars(layer) for layer in joined.layers)
  # In one call, in an order that mixes the sets.
  rows = np.array([second.image_rows[4, 1], first.image_rows[2, 0]])
  pixels = joined.images(rows)
  assert pixels.shape == (2, 16, 16, 3)
  own = alone[0].exemplars("conv").image_rows[2, 0]
  np.testing.assert_array_equal(pixels[1], alone[0].images(np.array([own]))[0])
  large = alone[1].images(alone[1].exemplars("conv").image_rows[4, 1:])[0]
  assert abs(pixels[0].mean() - large.mean()) < 2
  units, slots = np.array([4, 0]), np.array([1, 0])
  masks = joined.masks("two:conv", units, slots)
  large = alone[1].masks("conv", units, slots)
  nearest = np.arange(16) * 24 // 16
  np.testing.assert_array_equal(masks, large[:, nearest][:, :, nearest])


def test_one_folder_keeps_its_layers_names(folders):
  assert read(folders[0]).exemplars.layers == ("conv",)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"annotations": "a.csv"}, "put annotations.csv into each"),
    ({"split": "s.csv"}, "put split.csv into each"),
  ],
)
def test_tables_are_each_folders_own(folders, change, message):
  with pytest.raises(UserError, match=message):
    read(*folders, **change)


def test_folders_that_do_not_go_together_are_refused(folders, tmp_path):
  (tmp_path / "x").mkdir()
  plain = write_set(tmp_path / "three", size=16, units=3, seed=2, split=False)
  with pytest.raises(UserError, match=r"one has a split\.csv and three has none"):
    read(folders[0], plain)
  again = write_set(tmp_path / "x" / "one", size=16, units=3, seed=2)
  with pytest.raises(UserError, match="two folders have the name one"):
    read(folders[0], again)


def test_captions_are_repeated_by_folder(folders):
  found = read(*folders, repeat="1,3")
  assert found.repeats[Unit("one:conv", 2)] == 1
  assert found.repeats[Unit("two:conv", 4)] == 3
  assert set(read(folders[0], repeat="2").repeats.values()) == {2}
  assert set(read(*folders).repeats.values()) == {1}
  assert set(read(*folders, repeat="4").repeats.values()) == {4}
  for wrong in ("0", "1,0", "1,2,3", "1,x"):
    with pytest.raises(UserError, match=f"repeat={wrong}: expected.* or 2, one"):
      read(*folders, repeat=wrong)
