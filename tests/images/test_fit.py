"""Resizing and cropping of images of the network's size, and of other sizes."""

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.images.fitted import fitting_message
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.image_sources import open_images
from milan_jax._src.options.describe import ImageOptions

GEOMETRY = Geometry(18, 16, "bilinear")


def noise(*shape, seed=0):
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def zoomed(image):
  """Resizes and crops an image like one of another size."""
  resized = Image.fromarray(image).resize((18, 18), Image.Resampling.BILINEAR)
  return np.asarray(resized.crop((1, 1, 17, 17)))


@pytest.fixture
def folder(tmp_path):
  """Two pictures of the network's size, one of them after rotation, and a third."""
  for index, size in enumerate([(16, 16), (20, 30)]):
    Image.fromarray(noise(*size, 3, seed=index)).save(tmp_path / f"{index}.png")
  exif = Image.Exif()
  exif[0x0112] = 6  # upright after a quarter turn
  turned = Image.fromarray(noise(16, 16, 3, seed=2))
  turned.save(tmp_path / "turned.png", exif=exif)
  return tmp_path


def test_arrays_of_the_networks_size_are_taken_as_they_are(tmp_path, capsys):
  images = noise(5, 16, 16, 3)
  np.save(tmp_path / "images.npy", images)
  source = open_images(ImageOptions(source=str(tmp_path / "images.npy")), GEOMETRY)
  for index in range(5):
    np.testing.assert_array_equal(source.load(index), images[index])
  said = capsys.readouterr()
  assert "5 images of 16 x 16 pixels are not resized" in said.err + said.out


@pytest.mark.parametrize("planes", [False, True])
def test_all_are_resized_if_the_user_says_so(planes):
  images = noise(2, 16, 16, 3)
  given = images.transpose(0, 3, 1, 2) if planes else images
  geometry = Geometry(18, 16, "bilinear", fitting="resize-crop")
  found = ArrayImages(given, geometry).load(1)
  np.testing.assert_array_equal(found, zoomed(images[1]))
  assert (found != images[1]).any()


def test_arrays_of_another_size_are_resized_and_cut_as_ever():
  images = noise(2, 17, 17, 3)
  source = ArrayImages(images, GEOMETRY)
  np.testing.assert_array_equal(source.load(0), zoomed(images[0]))
  assert (
    fitting_message(source) == "images are resized to 18 pixels and cropped to 16 x 16"
  )


def test_pictures_of_a_folder(folder):
  source = FolderImages(folder, GEOMETRY)
  np.testing.assert_array_equal(source.load(0), noise(16, 16, 3))
  np.testing.assert_array_equal(source.load(2), np.rot90(noise(16, 16, 3, seed=2), -1))
  other = Image.fromarray(noise(20, 30, 3, seed=1)).resize((27, 18), 2)
  np.testing.assert_array_equal(source.load(1), np.asarray(other.crop((6, 1, 22, 17))))
  assert fitting_message(source) == (
    "images are resized to 18 pixels and cropped to 16 x 16, except 2, which already "
    "have that size"
  )


def test_whatever_their_proportions(folder):
  source = FolderImages(folder, Geometry(18, 16, "bicubic", fitting="resize"))
  picture = Image.fromarray(noise(20, 30, 3, seed=1))
  expected = picture.resize((16, 16), Image.Resampling.BICUBIC)
  np.testing.assert_array_equal(source.load(1), np.asarray(expected))
  assert "resized to 16 x 16 pixels, ignoring" in fitting_message(source)


def test_nothing_is_resized(folder, tmp_path):
  with pytest.raises(
    UserError, match=r"1\.png has 20 x 30 pixels.*only images of 16 x 16"
  ):
    open_images(ImageOptions(source=str(folder), fit="none"), GEOMETRY)
  source = FolderImages(folder, Geometry(18, 16, fitting="none"))
  np.testing.assert_array_equal(source.load(0), noise(16, 16, 3))
  with pytest.raises(UserError, match=r"1\.png has 20 x 30 pixels"):
    source.load(1)
  np.save(tmp_path / "other.npy", noise(3, 16, 17, 3))
  with pytest.raises(UserError, match="0 has 16 x 17 pixels"):
    open_images(ImageOptions(source=str(tmp_path / "other.npy"), fit="none"), GEOMETRY)


def test_another_word(folder):
  with pytest.raises(UserError, match="fit: expected one of resize-crop, resize, none"):
    open_images(ImageOptions(source=str(folder), fit="zoom"), GEOMETRY)
  with pytest.raises(UserError, match="fit needs images"):
    open_images(ImageOptions(fit="none"), GEOMETRY)


def test_many_images_are_told_by_some():
  images = np.zeros((1100, 16, 16, 3), np.uint8)
  source = ArrayImages(images, GEOMETRY)
  assert fitting_message(source).endswith("are not resized: 367 of 367 sampled")
