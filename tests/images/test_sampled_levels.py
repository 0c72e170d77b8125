"""Images whose values do not use the range from 0 to 255 are told before a run."""

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.image_sources import open_images
from milan_jax._src.images.sampled_levels import levels_notice
from milan_jax._src.options.describe import ImageOptions

GEOMETRY = Geometry(8, 8)


def gray(highest, seed=0):
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, highest, (8, 8))
  pixels[3, 4] = highest
  return pixels


@pytest.mark.parametrize("highest", [0, 1])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_values_from_0_to_1_are_refused(highest, channels):
  images = np.zeros((20, 8, 8, channels), np.uint8)
  images[..., :3] = highest
  if channels == 4:
    images[..., 3] = 255  # the opacity says nothing
  geometry = Geometry(8, 8, channels=channels)
  message = f"in the 8 sampled images is above {highest}: .*0 to 255; multiply .* 255"
  with pytest.raises(UserError, match=message):
    levels_notice(ArrayImages(images, geometry))
  images[0, 0, 0, 0] = 200
  assert levels_notice(ArrayImages(images, geometry)) == ""


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_than_the_file_has(bits, tmp_path, capsys):
  for index in range(3):
    pixels = gray(2**bits - 1, index).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / f"{index}.png")
  options = ImageOptions(source=str(tmp_path))
  if bits == 8:
    with pytest.raises(UserError, match="No value in the images is above 1"):
      open_images(options, GEOMETRY)
    return
  open_images(options, GEOMETRY)
  highest = round((2**bits - 1) / 257)
  notice = f"no value in the images is above {highest} of 255"
  assert (notice in capsys.readouterr().err) == (bits < 16)


def test_pages_that_are_not_read_are_told(tmp_path, capsys):
  pages = [Image.fromarray(gray(255, seed).astype(np.uint8)) for seed in range(3)]
  pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
  pages[1].save(tmp_path / "b.tif")
  pages[2].save(tmp_path / "c.gif", save_all=True, append_images=pages[:1])
  source = open_images(ImageOptions(source=str(tmp_path)), GEOMETRY)
  assert isinstance(source, FolderImages)
  np.testing.assert_array_equal(source.load(0)[..., 0], np.asarray(pages[0]))
  assert "1 of the images have several pages" in capsys.readouterr().err
