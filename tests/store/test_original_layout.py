import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.records import ExemplarSet
from milan_jax._src.store.original_layout import (
  OriginalExemplars,
  merge_images,
  nearest,
  write_original_layout,
)

UNITS, K, SIZE = 3, 2, 6


def dataset(size=SIZE):
  return np.random.default_rng(9).integers(0, 256, (20, size, size, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
  """Layers 2 and 10, whose order as numbers is the other one."""
  rng = np.random.default_rng(0)
  for layer, offset in (("10", 0), ("2", 3)):
    inside = tmp_path / "set" / layer
    inside.mkdir(parents=True)
    ids = offset + np.arange(UNITS * K).reshape(UNITS, K)
    pixels = dataset()[ids].transpose(0, 1, 4, 2, 3)
    np.save(inside / "images.npy", pixels)
    np.save(
      inside / "masks.npy",
      rng.integers(0, 2, (UNITS, K, 1, SIZE, SIZE), np.uint8),
    )
    np.savetxt(inside / "ids.csv", ids, fmt="%d", delimiter=",")
  np.save(tmp_path / "set" / "2" / "units.npy", np.array([7, 1, 4]))
  return tmp_path / "set"


def test_reading(folder):
  found = OriginalExemplars(folder)
  assert isinstance(found, ExemplarSet)
  assert found.layers == ("10", "2")
  layer = found.exemplars("2")
  assert layer.units.tolist() == [7, 1, 4]
  assert found.exemplars("10").units.tolist() == [0, 1, 2]
  assert layer.image_ids.tolist() == [[3, 4], [5, 6], [7, 8]]
  assert layer.activations is None
  assert layer.thresholds is None
  # Nine images, three of which both layers show.
  assert found.num_images == 9
  for name in found.layers:
    of = found.exemplars(name)
    shown = found.images(of.image_rows.ravel())
    np.testing.assert_array_equal(shown, dataset()[of.image_ids.ravel()])
  rows, slots = np.array([2, 0]), np.array([0, 1])
  want = np.load(folder / "2" / "masks.npy")[rows, slots, 0] == 1
  np.testing.assert_array_equal(found.masks("2", rows, slots), want)
  with pytest.raises(UserError, match="it has 10, 2"):
    found.exemplars("3")


def test_images_are_told_apart_by_their_pixels_without_ids(folder):
  for layer in ("10", "2"):
    (folder / layer / "ids.csv").unlink()
  found = OriginalExemplars(folder)
  assert found.num_images == 9
  for name, offset in (("10", 0), ("2", 3)):
    of = found.exemplars(name)
    np.testing.assert_array_equal(of.image_ids, of.image_rows)
    want = dataset()[offset : offset + UNITS * K]
    np.testing.assert_array_equal(found.images(of.image_rows.ravel()), want)


def test_layers_whose_names_hold_slashes(folder):
  (folder / "10").rename(folder / "2" / "deep")
  assert OriginalExemplars(folder).layers == ("2", "2/deep")


@pytest.mark.parametrize("size", [None, 3, 11])
def test_what_is_written_is_read(folder, tmp_path, size):
  theirs = OriginalExemplars(folder)
  activations = np.linspace(1, 2, UNITS * K).reshape(UNITS, K)
  np.savetxt(folder / "2" / "activations.csv", activations, fmt="%.5e", delimiter=",")
  write_original_layout(tmp_path / "out", OriginalExemplars(folder), size=size)
  ours = OriginalExemplars(tmp_path / "out")
  for layer in theirs.layers:
    a, b = ours.exemplars(layer), theirs.exemplars(layer)
    np.testing.assert_array_equal(a.units, b.units)
    np.testing.assert_array_equal(a.image_ids, b.image_ids)
    side = size or SIZE
    want = nearest(theirs.images(b.image_rows.ravel()), side)
    np.testing.assert_array_equal(ours.images(a.image_rows.ravel()), want)
    rows, slots = np.arange(UNITS), np.array([1, 0, 1])
    want = nearest(theirs.masks(layer, rows, slots)[..., None], side)[..., 0]
    np.testing.assert_array_equal(ours.masks(layer, rows, slots), want)
  assert not (tmp_path / "out" / "10" / "activations.csv").exists()
  name = "activations.csv"
  assert (tmp_path / "out" / "2" / name).read_text() == (
    folder / "2" / name
  ).read_text()
  assert np.load(tmp_path / "out" / "2" / "masks.npy").dtype == np.uint8
  assert np.load(tmp_path / "out" / "2" / "images.npy").shape[2] == 3
  with pytest.raises(UserError, match="already exists"):
    write_original_layout(tmp_path / "out", theirs)


def test_nearest_is_torchs():
  import torch

  pixels = dataset(7)[:2]
  planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
  for size in (3, 7, 10, 14):
    want = torch.nn.functional.interpolate(planes, size=size, mode="nearest").numpy()
    np.testing.assert_array_equal(
      nearest(pixels, size), want.transpose(0, 2, 3, 1), err_msg=str(size)
    )


def test_images_that_are_missing_are_put_in_from_a_copy(folder):
  want = np.load(folder / "2" / "images.npy")
  (folder / "2" / "images.npy").unlink()
  with pytest.raises(UserError, match=r"by ids\.csv, with .*merge_images"):
    OriginalExemplars(folder)
  merge_images(folder, lambda image: dataset()[image])
  np.testing.assert_array_equal(np.load(folder / "2" / "images.npy"), want)
  larger = dataset().repeat(3, axis=1).repeat(3, axis=2)
  (folder / "2" / "images.npy").unlink()
  with pytest.raises(UserError, match=r"load: expected image \d+ as uint8 .* float32"):
    merge_images(folder, lambda image: larger[image].astype(np.float32))
  merge_images(folder, lambda image: larger[image])
  np.testing.assert_array_equal(np.load(folder / "2" / "images.npy"), want)


def test_images_that_nothing_says_anything_of(folder):
  (folder / "2" / "images.npy").unlink()
  (folder / "2" / "ids.csv").unlink()
  with pytest.raises(UserError, match="nothing says which they were"):
    OriginalExemplars(folder)
  with pytest.raises(UserError, match=r"ids\.csv is missing"):
    merge_images(folder, lambda image: dataset()[image])


def test_ids_that_are_not_of_the_images(folder):
  slots = np.tile(np.arange(K), (UNITS, 1))
  np.savetxt(folder / "2" / "ids.csv", slots, fmt="%d", delimiter=",")
  with pytest.raises(UserError, match=r"2/ids\.csv, row 1: image 0 is another than"):
    OriginalExemplars(folder)


def array(*shape, dtype=np.uint8):
  return np.zeros(shape, dtype)


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("images.npy", array(3, 2, 6, 6, 3), r"expected uint8 of shape \(units, k, 3"),
    ("images.npy", array(3, 2, 3, 6, 6, dtype=np.float32), "found float32 of shape"),
    ("images.npy", array(3, 3, 6, 6), r"found uint8 of shape \(3, 3, 6, 6\)"),
    ("images.npy", array(3, 2, 3, 7, 7), r"masks.npy: expected shape \(3, 2, 1, 7, 7"),
    ("masks.npy", array(3, 3, 1, 6, 6), r"found \(3, 3, 1, 6, 6\)"),
    ("masks.npy", array(3, 2, 6, 6), "expected uint8"),
    ("masks.npy", None, r"masks\.npy is missing"),
    ("masks.npy", b"junk", "corrupt"),
    ("ids.csv", b"1,2\n3,4\n", "expected 3 rows of 2"),
    ("ids.csv", b"1,2,3\n3,4,5\n5,6,7\n", "found 3 rows of 3"),
    ("ids.csv", b"a,b\n", "expected a table of numbers"),
    ("activations.csv", b"1.5,2\n", "found 1 rows of 2"),
    ("units.npy", array(4, dtype=np.int64), "expected 3 integers"),
    ("units.npy", array(3, dtype=np.float32), "found float32"),
    ("units.npy", b"junk", "corrupt"),
  ],
)
def test_files_that_do_not_fit(folder, name, content, message):
  path = folder / "2" / name
  if content is None:
    path.unlink()
  elif isinstance(content, bytes):
    path.write_bytes(content)
  else:
    np.save(path, content)
  with pytest.raises(UserError, match=message) as error:
    OriginalExemplars(folder)
  assert str(folder / "2") in str(error.value)


def test_layers_of_two_sizes(folder):
  np.save(folder / "2" / "images.npy", array(3, 2, 3, 7, 7))
  np.save(folder / "2" / "masks.npy", array(3, 2, 1, 7, 7))
  with pytest.raises(UserError, match="6 x 6 in 10, 7 x 7 in 2"):
    OriginalExemplars(folder)


def test_a_folder_without_layers(tmp_path):
  with pytest.raises(UserError, match="holds no exemplars"):
    OriginalExemplars(tmp_path)
