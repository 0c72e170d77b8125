import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import ArrayImages, open_array_images
from milan_jax._src.images.folder import SUFFIXES, FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.source import UnreadableImageError, load_again

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


FORMATS = {
  **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
  **dict.fromkeys((".ppm", ".pnm"), "PPM"),
  **dict.fromkeys((".jp2", ".j2k", ".jpx", ".j2c"), "JPEG2000"),
  **{".apng": "PNG", ".avif": "AVIF"},
}


def test_every_format_that_is_read_is_looked_for(tmp_path):
  for suffix, kind in FORMATS.items():
    Image.new("RGB", (8, 8), (90, 90, 90)).save(tmp_path / f"a{suffix}", format=kind)
  Image.new("L", (8, 8), 90).save(tmp_path / "a.pgm")
  Image.new("1", (8, 8), 1).save(tmp_path / "a.pbm")
  source = FolderImages(tmp_path, GEOMETRY)
  assert len(source) == len(FORMATS) + 2 and source.left_out() == ""
  for index in range(len(source)):
    expected = 255 if source.name(index) == "a.pbm" else 90
    np.testing.assert_allclose(source.load(index), expected, atol=2)


def test_what_is_left_out_is_told_by_suffix(tmp_path):
  save(tmp_path / "a.png", 0)
  for name in ("x.txt", "y.TXT", "b/z.heic", "README", ".hidden.txt"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
  source = FolderImages(tmp_path, GEOMETRY)
  assert source.left_out() == "2 .txt, 1 without suffix, 1 .heic"
  for number in range(9):
    (tmp_path / f"x.{number}").write_text("")
  found = FolderImages(tmp_path, GEOMETRY).left_out()
  assert found.startswith("2 .txt, ") and found.endswith("4 of other kinds")
  (tmp_path / "a.png").unlink()
  with pytest.raises(UserError, match=r"No photographs.*found 2 \.txt, 1 without"):
    FolderImages(tmp_path, GEOMETRY)


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


def test_arrays_that_are_no_squares_or_no_images():
  assert ArrayImages(np.zeros((2, 8, 9, 3), np.uint8)).size == (8, 9)
  with pytest.raises(UserError, match="no image"):
    ArrayImages(np.zeros((0, 8, 8, 3), np.uint8))


def test_files_that_are_no_arrays(tmp_path):
  with pytest.raises(UserError, match="No file"):
    open_array_images(tmp_path / "none.npy")
  for name in ("bad.npy", "bad.npz"):
    (tmp_path / name).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UserError, match=r"corrupt|not a readable"):
      open_array_images(tmp_path / name)
  np.savez(tmp_path / "two.npz", a=1, b=2)
  with pytest.raises(UserError, match="contains the arrays a, b"):
    open_array_images(tmp_path / "two.npz")


def test_links_to_pictures_and_to_folders(tmp_path):
  save(tmp_path / "elsewhere/x/a.png", 10)
  folder = tmp_path / "photographs"
  save(folder / "cat/b.png", 20)
  (folder / "dog").symlink_to(tmp_path / "elsewhere/x")
  (folder / "c.png").symlink_to(tmp_path / "elsewhere/x/a.png")
  (folder / "lost.png").symlink_to(tmp_path / "nowhere.png")
  (folder / "cat/up").symlink_to(folder)  # a cycle: not followed again
  source = FolderImages(folder, GEOMETRY)
  names = [source.name(i) for i in range(len(source))]
  assert names == ["c.png", "cat/b.png", "dog/a.png", "lost.png"]
  assert [int(source.load(i)[0, 0, 0]) for i in range(3)] == [10, 20, 10]
  with pytest.raises(UnreadableImageError, match="no such file"):
    source.load(3)


def test_links_to_themselves_are_pictures_that_are_lost(tmp_path):
  Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(tmp_path / "a.png")
  (tmp_path / "b.png").symlink_to("b.png")
  (tmp_path / "c").symlink_to("d")
  (tmp_path / "d").symlink_to("c")
  source = FolderImages(tmp_path, Geometry(8, 8))
  assert [source.name(index) for index in range(len(source))] == ["a.png", "b.png"]
  assert (source.load(0) == 7).all()
  with pytest.raises(UnreadableImageError):
    source.load(1)


def test_a_header_that_asks_for_more_than_is_there(tmp_path):
  np.save(tmp_path / "a.npy", np.zeros((2, 8, 8, 3), np.uint8))
  whole = (tmp_path / "a.npy").read_bytes()
  for said in (b"(9, 8, 8, 3)", b"(2, 8, 9, 3)", b"(2, 8, 8, 1)"):
    corrupt = whole.replace(b"(2, 8, 8, 3)", said, 1)
    (tmp_path / "a.npy").write_bytes(corrupt)
    with pytest.raises(UserError, match=r"a\.npy is corrupt: its header gives"):
      open_array_images(tmp_path / "a.npy", GEOMETRY)
