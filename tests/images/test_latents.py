import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.latents import (
  GeneratedImages,
  Latents,
  open_latents,
  range_notice,
)
from milan_jax._src.images.loader import batches
from milan_jax._src.images.source import ImageSource, Source


def latents(number=5):
  rng = np.random.default_rng(0)
  return rng.standard_normal((number, 3), np.float32), np.arange(number) % 2


def test_latents_go_through_the_loader_as_records(tmp_path):
  values, classes = latents()
  np.savez(tmp_path / "z.npz", latents=values, classes=classes)
  source = open_latents(tmp_path / "z.npz")
  assert isinstance(source, Source)
  assert (source.latent_shape, source.has_classes) == ((3,), True)
  assert source.name(3) == "latent 3, class 1"
  first, last = batches(source, 4)
  np.testing.assert_array_equal(first.inputs["latent"], values[:4])
  np.testing.assert_array_equal(first.inputs["class"], classes[:4])
  np.testing.assert_array_equal(last.inputs["latent"][0], values[4])
  assert (last.inputs["latent"][1:] == 0).all()
  assert last.rows.tolist() == [0]


def test_latents_without_classes_and_their_digest():
  values, classes = latents()
  plain = Latents(values)
  assert not plain.has_classes and plain.name(2) == "latent 2"
  assert plain.sha256() == Latents(values.copy()).sha256()
  assert plain.sha256() != Latents(values + 1).sha256()
  assert plain.sha256() != Latents(values, classes).sha256()


def test_images_are_made_of_latents():
  values, _ = latents()

  def make(records):
    shades = np.uint8(100 + 10 * records["latent"][:, 0])
    return np.broadcast_to(shades[:, None, None, None], (len(records), 4, 4, 3))

  source = GeneratedImages(Latents(values), make, 4)
  assert isinstance(source, ImageSource)
  assert (source.load(2) == np.uint8(100 + 10 * values[2, 0])).all()
  assert source.name(2) == "latent 2" and len(source) == 5 and source.size == 4
  assert source.blank.shape == (4, 4, 3)


def test_images_without_dark_pixels_are_reported():
  def notice(low, high):
    image = np.array([[[[low] * 3, [high] * 3]]], np.uint8)
    return range_notice(GeneratedImages(Latents(latents()[0]), lambda _: image, (1, 2)))

  assert notice(100, 255) == ""
  assert "first 4 generated images is dark" in notice(128, 255)
  for level, color in ((0, "black"), (255, "white")):
    with pytest.raises(UserError, match=f"4 generated images are {color}"):
      notice(level, level)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"z": np.zeros((2, 3))}, "contains z: expected an .npz file"),
    ({"latents": np.zeros((2, 3), int)}, "expected an .npz file"),
    ({"latents": np.zeros((2, 3)), "classes": np.zeros(3, int)}, "2 integer classes"),
    ({"latents": np.zeros((2, 3)), "classes": np.zeros(2)}, "2 integer classes"),
    ({"latents": np.zeros((0, 3))}, "expected latents of shape"),
    ({"latents": np.full((2, 3), 1e300)}, "expected finite numbers"),
  ],
)
def test_files_that_hold_something_else(tmp_path, arrays, message):
  np.savez(tmp_path / "z.npz", **arrays)
  with pytest.raises(UserError, match=message):
    open_latents(tmp_path / "z.npz")


def test_no_file(tmp_path):
  with pytest.raises(UserError, match="No file"):
    open_latents(tmp_path / "z.npz")
  (tmp_path / "z.npz").write_text("junk")
  with pytest.raises(UserError, match="not a readable"):
    open_latents(tmp_path / "z.npz")
