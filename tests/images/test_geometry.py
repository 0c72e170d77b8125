import io

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.images.geometry import Geometry, fit, to_rgb

SIZES = [(300, 200), (200, 300), (257, 511), (224, 224), (512, 32), (32, 512)]


def pixels(height, width, channels=3, seed=0):
  shape = (height, width, channels) if channels else (height, width)
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_fit_resizes_the_shorter_side_and_cuts_the_center(size):
  image = Image.fromarray(pixels(*size))
  width, height = image.size
  scale = 64 / min(width, height)
  large = image.resize(
    (int(width * 64 / min(width, height)), int(height * 64 / min(width, height))),
    Image.Resampling.BICUBIC,
  )
  assert min(large.size) == 64
  assert max(large.size) == int(max(width, height) * scale + 1e-9)
  whole = np.asarray(large)
  top, left = round((large.height - 48) / 2), round((large.width - 48) / 2)
  expected = whole[top : top + 48, left : left + 48]
  np.testing.assert_array_equal(fit(image, Geometry(64, 48)), expected)


@pytest.mark.parametrize("size", [(33, 1000), (800, 7), (1, 300)])
def test_fit_of_a_long_strip_is_that_of_all_of_it(size):
  y, x = np.mgrid[: size[0], : size[1]]
  waves = [127 + 120 * np.sin((x + 2 * y) / scale) for scale in (9, 14, 31)]
  image = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
  width, height = (side * 64 // min(size) for side in image.size)
  whole = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
  top, left = round((height - 48) / 2), round((width - 48) / 2)
  fitted = fit(image, Geometry(64, 48)).astype(int)
  expected = whole[top : top + 48, left : left + 48].astype(int)
  np.testing.assert_allclose(fitted, expected, atol=2)
  assert fitted.std() > 5


def test_squashing_keeps_no_proportions():
  image = Image.fromarray(pixels(30, 900))
  whole = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC))
  fitted = fit(image, Geometry(64, 48, squash=True))
  np.testing.assert_array_equal(fitted, whole[8:56, 8:56])


def test_fit_of_an_endless_strip():
  # Resized whole it would have 256 million by 256 pixels.
  image = Image.fromarray(np.repeat([[[10, 20, 30]]], 1_000_000, axis=1).astype("u1"))
  fitted = fit(image, Geometry(256, 224))
  np.testing.assert_array_equal(fitted, np.broadcast_to([10, 20, 30], (224, 224, 3)))


def test_bilinear_is_not_bicubic():
  image = Image.fromarray(pixels(100, 80))
  linear = fit(image, Geometry(40, 32, "bilinear"))
  assert (linear != fit(image, Geometry(40, 32, "bicubic"))).any()


def test_without_resizing_pixels_stay():
  image = pixels(10, 12)
  fitted = fit(Image.fromarray(image), Geometry(None, 8))
  np.testing.assert_array_equal(fitted, image[1:9, 2:10])
  with pytest.raises(ValueError, match="fewer than the 11"):
    fit(Image.fromarray(image), Geometry(None, 11))


@pytest.mark.parametrize(
  "arguments", [(32, 64), (32, 0), (None, -1), (64, 32, "cubic")]
)
def test_a_geometry_that_makes_no_sense(arguments):
  with pytest.raises(ValueError):
    Geometry(*arguments)


def test_a_turned_photograph_is_put_upright():
  image = Image.fromarray(pixels(4, 6))
  exif = Image.Exif()
  exif[0x0112] = 6  # the camera was turned a quarter: show it turned clockwise
  file = io.BytesIO()
  image.save(file, "png", exif=exif)
  with Image.open(file) as turned:
    upright = np.asarray(to_rgb(turned))
  np.testing.assert_array_equal(upright, np.rot90(np.asarray(image), -1))


def test_transparency_is_laid_over_white():
  rgba = np.zeros((1, 3, 4), np.uint8)
  rgba[0, :, 0] = 200
  rgba[0, :, 3] = (0, 255, 51)  # hidden, opaque, a fifth
  got = np.asarray(to_rgb(Image.fromarray(rgba)))
  expected = [[255, 255, 255], [200, 0, 0], [244, 204, 204]]
  np.testing.assert_allclose(got[0], expected, atol=1)


def test_palette_with_a_transparent_color(tmp_path):
  image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
  image.putpalette([10, 20, 30, 40, 50, 60])
  image.save(tmp_path / "a.png", transparency=0)
  with Image.open(tmp_path / "a.png") as opened:
    got = np.asarray(to_rgb(opened))
  np.testing.assert_array_equal(got, [[[255, 255, 255], [40, 50, 60]]])


def test_grey_and_cmyk():
  gray = pixels(3, 3, 0)
  np.testing.assert_array_equal(
    np.asarray(to_rgb(Image.fromarray(gray))), np.repeat(gray[..., None], 3, axis=2)
  )
  cmyk = Image.new("CMYK", (1, 1), (255, 0, 0, 0))  # full cyan: no red
  np.testing.assert_array_equal(np.asarray(to_rgb(cmyk)), [[[0, 255, 255]]])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
  samples = np.array([[0, 129, 25700 + 128, 25700 + 129, 65535]], np.uint16)
  Image.fromarray(samples).save(tmp_path / f"a.{suffix}")
  with Image.open(tmp_path / f"a.{suffix}") as opened:
    got = np.asarray(to_rgb(opened))
  np.testing.assert_array_equal(got[0, :, 0], [0, 1, 100, 101, 255])


def test_floating_point_has_no_known_range():
  with pytest.raises(ValueError, match="floating point"):
    to_rgb(Image.fromarray(np.zeros((2, 2), np.float32)))
