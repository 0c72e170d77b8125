"""Images with a number of channels other than three, and non-square images."""

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import ArrayImages, open_array_images
from milan_jax._src.images.demo import DemoImages
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry, fit
from milan_jax._src.images.image_sources import open_images
from milan_jax._src.images.source import RgbImages
from milan_jax._src.options.describe import ImageOptions

GRAY = Geometry(8, 8, channels=1)


def noise(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def luma(colors):
  """The luma of ITU-R 601, rounded as in Pillow."""
  weights = np.array([19595, 38470, 7471])
  return ((colors.astype(int) @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_pictures_for_a_network_of_gray(tmp_path, mode):
  picture = Image.fromarray(noise(8, 8, 3)).convert(mode)
  picture.save(tmp_path / "a.png")
  source = FolderImages(tmp_path, GRAY)
  expected = luma(np.asarray(picture.convert("RGB")))
  np.testing.assert_array_equal(source.load(0), expected)
  assert source.blank.shape == (8, 8, 1)
  shown = RgbImages(source, source.size)
  np.testing.assert_array_equal(shown.load(0), np.repeat(expected, 3, axis=2))


def test_opacity_is_a_fourth_channel(tmp_path):
  pixels = noise(8, 8, 4)
  Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
  Image.fromarray(pixels[..., :3]).save(tmp_path / "b.png")
  Image.fromarray(pixels[..., 0]).save(tmp_path / "c.png")
  source = FolderImages(tmp_path, Geometry(8, 8, channels=4))
  np.testing.assert_array_equal(source.load(0), pixels)
  opaque = np.full((8, 8, 1), 255, np.uint8)
  np.testing.assert_array_equal(
    source.load(1), np.concatenate([pixels[..., :3], opaque], 2)
  )
  assert (source.load(2)[..., :3] == pixels[..., :1]).all()
  shown = RgbImages(source, source.size)
  np.testing.assert_array_equal(shown.load(0), pixels[..., :3])


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 13])
@pytest.mark.parametrize("planes", [False, True])
def test_arrays_of_as_many_channels_as_the_network(tmp_path, channels, planes):
  images = noise(3, 8, 8, channels)
  np.save(tmp_path / "a.npy", images.transpose(0, 3, 1, 2) if planes else images)
  source = open_array_images(tmp_path / "a.npy", Geometry(9, 8, channels=channels))
  np.testing.assert_array_equal(source.load(2), images[2])
  other = open_array_images(tmp_path / "a.npy", Geometry(6, 4, channels=channels))
  for channel in range(channels):
    plane = Image.fromarray(images[1, ..., channel])
    np.testing.assert_array_equal(
      other.load(1)[..., channel], fit(plane, Geometry(6, 4))[..., 0]
    )


def test_two_channels_are_shown_without_blue():
  images = noise(1, 8, 8, 2)
  shown = RgbImages(ArrayImages(images, Geometry(8, 8, channels=2)), 8)
  np.testing.assert_array_equal(shown.load(0)[..., :2], images[0])
  assert not shown.load(0)[..., 2].any() and shown.blank.shape == (8, 8, 3)


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 1), (5, 1, 8, 8)])
def test_gray_arrays(shape):
  images = noise(*shape)
  gray = images.reshape(5, 8, 8, 1)
  np.testing.assert_array_equal(ArrayImages(images, GRAY).load(3), gray[3])
  found = ArrayImages(images, Geometry(8, 8)).load(3)
  np.testing.assert_array_equal(found, np.repeat(gray[3], 3, axis=2))


def test_colors_for_a_network_of_gray():
  images = noise(2, 8, 8, 3)
  np.testing.assert_array_equal(ArrayImages(images, GRAY).load(1), luma(images[1]))


@pytest.mark.parametrize(
  ("array", "channels", "message"),
  [
    (
      noise(2, 8, 8, 4),
      3,
      "shape .* have 4 channels, but the network takes 3",
    ),
    (
      noise(2, 4, 8, 8),
      1,
      "shape .* have 4 channels, but the network takes 1",
    ),
    (
      noise(2, 8, 8, 3),
      4,
      "shape .* have 3 channels, but the network takes 4",
    ),
    (noise(2, 8, 8), 4, "have 1 channels, but the network takes 4"),
    (noise(8, 8, 3), 3, r"that of a single image.*images\[None\]"),
    (np.zeros((2, 8, 8, 3), np.float32), 3, r"in \[0, 1\], save \(255 \* x\)"),
    (np.zeros((2, 8, 8, 3), np.uint16), 3, r"use all 16 bits, save \(x // 257\)"),
    (np.zeros((2, 8, 8, 1), bool), 1, r"save 255 \* x\.astype"),
  ],
)
def test_arrays_that_do_not_fit(array, channels, message):
  with pytest.raises(UserError, match=message):
    ArrayImages(array, Geometry(8, 8, channels=channels))


def test_pictures_do_not_have_six_channels(tmp_path):
  with pytest.raises(UserError, match="takes images of 6 channels, but pictures have"):
    open_images(ImageOptions(source=str(tmp_path)), Geometry(8, 8, channels=6))


@pytest.mark.parametrize(
  ("size", "resized", "box"),
  [
    ((40, 40), (36, 36), (9, 2, 27, 34)),
    ((20, 80), (20, 80), (1, 24, 19, 56)),
    ((100, 50), (72, 36), (27, 2, 45, 34)),
  ],
)
def test_oblong_images_are_covered_and_cut(size, resized, box):
  picture = Image.fromarray(noise(size[1], size[0], 3))
  geometry = Geometry((36, 20), (32, 18))
  if size == (20, 80):
    geometry = Geometry((36, 20), (32, 18), fitting="resize-crop")
  expected = picture.resize(resized, Image.Resampling.BICUBIC).crop(box)
  np.testing.assert_array_equal(fit(picture, geometry), np.asarray(expected))


def test_an_oblong_image_of_the_right_size_is_taken_as_it_is(tmp_path):
  images = noise(2, 32, 18, 3)
  np.save(tmp_path / "a.npy", images)
  geometry = Geometry((36, 20), (32, 18))
  source = open_images(ImageOptions(source=str(tmp_path / "a.npy")), geometry)
  assert source.size == (32, 18) and source.blank.shape == (32, 18, 3)
  np.testing.assert_array_equal(source.load(1), images[1])


def test_oblong_crops_of_the_packaged_photographs():
  source = DemoImages(Geometry((36, 20), (32, 18)))
  assert {source.load(index).shape for index in (0, 1, len(source) - 1)} == {
    (32, 18, 3)
  }
  tall = DemoImages(Geometry(36, 32))
  assert tall.load(3).shape == (32, 32, 3)
