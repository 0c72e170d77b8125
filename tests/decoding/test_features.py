"""Features of an exemplar set: each image once, resumable, equal to plain numpy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.decoding.features import encode_exemplars
from milan_jax._src.errors import UserError
from milan_jax._src.models.region_features import feature_blocks, region_features
from milan_jax._src.records import LayerExemplars

SIZE, K, FEATURES = 8, 3, 5


class Regions:
  """An exemplar set of two layers over seven images."""

  layers = ("a", "b")
  num_images = 7

  def __init__(self):
    rng = np.random.default_rng(0)
    self.pixels = rng.integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    # Image 0 is an exemplar of every unit of layer b: more than one call's worth.
    self.rows = {"a": rng.integers(1, 7, (4, K)), "b": np.zeros((9, K), int)}
    self.given = {
      layer: rng.random((*rows.shape, SIZE, SIZE)) < 0.5
      for layer, rows in self.rows.items()
    }
    self.served = []

  def exemplars(self, layer):
    rows = self.rows[layer]
    units = np.arange(len(rows))
    return LayerExemplars(
      layer, units, rows, rows, None, None, np.zeros(len(rows), bool)
    )

  def images(self, rows):
    self.served.extend(rows.tolist())
    return self.pixels[rows]

  def masks(self, layer, rows, slots):
    return self.given[layer][rows, slots]


def _encode(images):
  pixels = jnp.asarray(images, jnp.float32) / 255
  coarse = pixels[:, ::2, ::2, :2]
  return (pixels, coarse)


def _expected(regions, layer):
  rows = regions.rows[layer]
  features = np.zeros((*rows.shape, FEATURES), np.float32)
  for unit, slot in np.ndindex(*rows.shape):
    image = regions.pixels[rows[unit, slot]] / 255
    mask = regions.given[layer][unit, slot].astype(float)
    fine = (image * mask[..., None]).sum((0, 1)) / mask.sum()
    # Half-pixel bilinear to half the size is the mean of each 2 x 2 block.
    half = mask.reshape(4, 2, 4, 2).mean((1, 3))
    coarse = (image[::2, ::2, :2] * half[..., None]).sum((0, 1)) / half.sum()
    features[unit, slot] = np.concatenate([fine, coarse])
  return features


def test_exemplars_without_activation_are_not_encoded(tmp_path):
  regions = Regions()
  # Images 5 and 6 are exemplars on which nothing fires.
  regions.rows = {"a": np.array([[1, 2, 3], [2, 5, 6], [4, 1, 6]])}
  regions.given = {"a": np.ones((3, K, SIZE, SIZE), bool)}
  fires = np.array([3, 1, 2])

  def counted(layer):
    found = Regions.exemplars(regions, layer)
    return dataclasses.replace(found, num_firing=fires, num_images=fires * 0 + 7)

  regions.layers = ("a",)
  regions.exemplars = counted
  found = _run(regions, tmp_path)
  assert sorted(regions.served) == [1, 2, 3, 4]
  expected = _expected(regions, "a")
  expected[1, 1:] = expected[2, 2:] = 0
  np.testing.assert_allclose(found.read(0, 3), expected, atol=1e-5)
  assert found.num_regions(0, 3).tolist() == [3, 1, 2]


def _run(regions, folder, **options):
  return encode_exemplars(
    _encode, regions, folder, feature_size=FEATURES, batch_size=2, **options
  )


def test_features_equal_plain_numpy_and_each_image_is_read_once(tmp_path):
  regions = Regions()
  found = _run(regions, tmp_path)
  for layer in regions.layers:
    table = found.tables()[layer]
    np.testing.assert_allclose(table, _expected(regions, layer), atol=1e-5)
  assert sorted(regions.served) == list(range(7))


class StoppedError(Exception):
  """As if the process had been killed."""


def _stop(done, total):
  if done >= 4:
    raise StoppedError


@pytest.mark.parametrize("layer", [0, 1])
def test_features_damaged_while_unfinished_are_named(tmp_path, layer):
  with pytest.raises(StoppedError):
    _run(Regions(), tmp_path, progress=_stop)
  path = tmp_path / f"{layer}.npy"
  header = path.read_bytes().index(b"\n") + 1
  table = np.frombuffer(path.read_bytes()[header:], np.float32)
  data = bytearray(path.read_bytes())
  data[header + 4 * int(np.flatnonzero(table)[-1])] ^= 1  # the lowest bit of one value
  path.write_bytes(data)
  with pytest.raises(UserError, match=path.name):
    _run(Regions(), tmp_path)


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(tmp_path):
  whole = _run(Regions(), tmp_path / "whole")

  with pytest.raises(StoppedError):
    _run(Regions(), tmp_path / "again", progress=_stop)
  regions = Regions()
  again = _run(regions, tmp_path / "again")
  assert min(regions.served) == 4
  for layer in regions.layers:
    assert again.tables()[layer].tobytes() == whole.tables()[layer].tobytes()


def test_features_of_something_else_are_refused(tmp_path):
  _run(Regions(), tmp_path)
  with pytest.raises(UserError, match="expected features of"):
    encode_exemplars(_encode, Regions(), tmp_path, feature_size=6, batch_size=2)


def test_the_place_of_a_region_too(tmp_path):
  regions = Regions()
  size = sum(feature_blocks([3, 2], "placed"))
  found = encode_exemplars(
    _encode, regions, tmp_path, feature_size=size, pooling="placed", batch_size=2
  )
  units, slots = 0, 1
  layer = regions.layers[0]
  image = regions.rows[layer][units, slots]
  mask = regions.given[layer][units, slots]
  pyramid = _encode(regions.images(np.array([image])))
  expected = region_features(pyramid, jnp.asarray(mask[None, None]), "placed")
  np.testing.assert_allclose(
    found.tables()[layer][units, slots], expected[0, 0], atol=1e-5
  )
