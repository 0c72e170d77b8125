import threading

import numpy as np
import pytest
from PIL import Image

from milan_jax.errors import UserError
from milan_jax.images.arrays import ArrayImages, open_array_images
from milan_jax.images.folder import SUFFIXES, FolderImages
from milan_jax.images.geometry import Geometry
from milan_jax.images.source import UnreadableImageError, batches, load_again

GEOMETRY = Geometry(8, 8)


def save(path, value, size=(8, 8)):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new("RGB", size, (value, value, value)).save(path)


def test_a_nested_folder_is_sorted_by_path(tmp_path):
  for index, name in enumerate(["b.png", "a/z.JPG", "a/b.webp", "c.gif", "a.tif"]):
    save(tmp_path / name, 10 * index)
  save(tmp_path / ".hidden/x.png", 0)
  save(tmp_path / ".x.png", 0)
  (tmp_path / "notes.txt").write_text("no picture")
  source = FolderImages(tmp_path, GEOMETRY)
  names = [source.name(i) for i in range(len(source))]
  assert names == ["a.tif", "a/b.webp", "a/z.JPG", "b.png", "c.gif"]
  values = [int(source.load(i)[0, 0, 0]) for i in range(len(source))]
  np.testing.assert_allclose(values, [40, 20, 10, 0, 30], atol=1)
  assert source.size == 8


def test_a_missing_folder(tmp_path):
  with pytest.raises(UserError, match="No folder"):
    FolderImages(tmp_path / "none", GEOMETRY)


def test_a_file_in_place_of_a_folder(tmp_path):
  save(tmp_path / "a.png", 0)
  with pytest.raises(UserError, match="is a file"):
    FolderImages(tmp_path / "a.png", GEOMETRY)


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
  (tmp_path / "a.txt").write_text("")
  with pytest.raises(UserError) as error:
    FolderImages(tmp_path, GEOMETRY)
  assert all(suffix in str(error.value) for suffix in SUFFIXES)


def test_an_unreadable_photograph_keeps_its_position(tmp_path):
  for index in range(5):
    save(tmp_path / f"{index}.png", 40 * index)
  whole = (tmp_path / "2.png").read_bytes()
  (tmp_path / "1.png").write_bytes(whole[:40])
  (tmp_path / "3.png").write_text("not a picture")
  found = list(batches(FolderImages(tmp_path, GEOMETRY), 4))
  assert [batch.image_ids.tolist() for batch in found] == [[0, 2], [4]]
  assert [item.name for item in found[0].skipped] == ["1.png", "3.png"]
  assert all(item.reason for item in found[0].skipped)
  assert found[0].images.shape == found[1].images.shape == (4, 8, 8, 3)
  assert found[0].images[:, 0, 0, 0].tolist() == [0, 80, 0, 0]
  assert [batch.stop for batch in found] == [4, 5]


class Slow:
  """Earlier images take longer: order must not depend on who is ready."""

  size = 2

  def __init__(self, number):
    self.number, self.loaded, self.lock = number, [], threading.Lock()

  def __len__(self):
    return self.number

  def name(self, index):
    return str(index)

  def load(self, index):
    threading.Event().wait(0.002 if index % 3 == 0 else 0)
    with self.lock:
      self.loaded.append(index)
    return np.full((2, 2, 3), index, np.uint8)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("number", [1, 7, 8, 21])
def test_batches_keep_the_order_and_start_anywhere(threads, number):
  found = list(batches(Slow(number), 4, threads=threads))
  ids = np.concatenate([batch.image_ids for batch in found])
  np.testing.assert_array_equal(ids, np.arange(number))
  for batch in found:
    np.testing.assert_array_equal(
      batch.images[: len(batch.image_ids), 0, 0, 0], batch.image_ids
    )
  later = list(batches(Slow(number), 4, start=4, threads=threads))
  assert [b.image_ids.tolist() for b in later] == [
    b.image_ids.tolist() for b in found[1:]
  ]


def test_no_more_than_two_batches_are_decoded_ahead():
  source = Slow(100)
  stretch = batches(source, 4, threads=2)
  next(stretch)
  threading.Event().wait(0.05)
  assert len(source.loaded) <= 8
  stretch.close()


def test_an_image_that_was_lost(tmp_path):
  save(tmp_path / "a.png", 0)
  source = FolderImages(tmp_path, GEOMETRY)
  (tmp_path / "a.png").unlink()
  with pytest.raises(UnreadableImageError):
    source.load(0)
  with pytest.raises(UserError, match=r"a\.png could be read before"):
    load_again(source, 0)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_of_either_order(tmp_path, planes, suffix):
  images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
  given = images.transpose(0, 3, 1, 2) if planes else images
  path = tmp_path / f"images.{suffix}"
  np.save(path, given) if suffix == "npy" else np.savez(path, images=given, y=1)
  source = open_array_images(path)
  assert (len(source), source.size) == (5, 8)
  for index in range(5):
    np.testing.assert_array_equal(source.load(index), images[index])
  np.testing.assert_array_equal(
    open_array_images(path, Geometry(None, 4)).load(1), images[1, 2:6, 2:6]
  )


@pytest.mark.parametrize(
  "array", [np.zeros((2, 8, 8, 4), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros(3)]
)
def test_arrays_of_another_shape_or_type(array):
  with pytest.raises(UserError) as error:
    ArrayImages(array)
  assert "(N, height, width, 3)" in str(error.value)
  assert str(array.dtype) in str(error.value)
  assert str(array.shape) in str(error.value)


def test_arrays_that_are_no_squares_or_none():
  with pytest.raises(UserError, match="square"):
    ArrayImages(np.zeros((2, 8, 9, 3), np.uint8))
  with pytest.raises(UserError, match="no image"):
    ArrayImages(np.zeros((0, 8, 8, 3), np.uint8))


def test_files_that_are_no_arrays(tmp_path):
  with pytest.raises(UserError, match="No file"):
    open_array_images(tmp_path / "none.npy")
  for name in ("bad.npy", "bad.npz"):
    (tmp_path / name).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UserError, match="no readable"):
      open_array_images(tmp_path / name)
  np.savez(tmp_path / "two.npz", a=1, b=2)
  with pytest.raises(UserError, match="holds the arrays a, b"):
    open_array_images(tmp_path / "two.npz")
