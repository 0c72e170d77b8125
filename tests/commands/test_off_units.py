"""A unit that rests at its maximum, from the pass to the CSV, the page and back."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest

import milan_jax
from milan_jax._src.errors import UserError
from tests.helpers import site_data
from tests.helpers.tiny_release import tiny_release

SIDE, IMAGES, K = 32, 12, 3
LOWERED = [4, 9, 7]  # images with a red square, the reddest first


def network(images):
  """One layer of two units: redness, and what red takes from a resting value of 2."""
  red = images[..., 0].reshape(-1, 8, SIDE // 8, 8, SIDE // 8).mean((2, 4))
  return {"layer": jnp.stack([red, 2 - red], axis=-1)}


@pytest.fixture(scope="module")
def images():
  found = np.zeros((IMAGES, SIDE, SIDE, 3), np.uint8)
  found[..., 2] = np.arange(IMAGES)[:, None, None]
  for image, red in zip(LOWERED, (250, 200, 150), strict=True):
    found[image, 8:16, 16:24, 0] = red
  return found


@pytest.fixture(scope="module")
def described(images, tmp_path_factory):
  folder = tmp_path_factory.mktemp("off")
  probe = milan_jax.probe(
    network,
    preprocessing=milan_jax.Preprocessing.of(size=SIDE, mean=[0.0] * 3, std=[1.0] * 3),
  )
  exemplars = milan_jax.collect(probe, images, k=K, quantile=0.9, workdir=folder / "a")
  captioner = milan_jax.Captioner(tiny_release())
  descriptions = captioner.describe(exemplars, workdir=folder / "b")
  milan_jax.write_page(folder / "page", exemplars, descriptions)
  return folder, exemplars, descriptions, captioner


def test_its_exemplars_are_what_lowers_it(described):
  _, exemplars, _, _ = described
  found = exemplars.exemplars("layer")
  assert found.off.tolist() == [False, True]
  assert found.image_ids.tolist() == [LOWERED, LOWERED]
  on, off = (exemplars.masks("layer", np.full(K, row), np.arange(K)) for row in (0, 1))
  np.testing.assert_array_equal(on, off)
  assert on[:, 10:14, 18:22].all() and not on[:, :4].any()


def test_it_is_marked_everywhere(described):
  folder, _, descriptions, _ = described
  units = [milan_jax.Unit("layer", 0), milan_jax.Unit("layer", 1, "off")]
  assert [each.unit for each in descriptions] == units
  with (folder / "b" / "descriptions.csv").open(newline="") as file:
    assert [row["sign"] for row in csv.DictReader(file)] == ["on", "off"]
  features = milan_jax.open_features(folder / "b" / "features")
  assert [unit for unit, _ in features.units(0, 2)] == units
  catalog = json.loads((folder / "page" / "catalog.json").read_text())["units"]
  assert [unit["sign"] for unit in catalog] == ["on", "off"]
  assert [unit["images"][0].endswith("1-off.webp") for unit in catalog] == [False, True]
  assert site_data.columns(folder / "page")["flags"].tolist() == [0, 1]


def test_it_is_scored_and_annotated_by_its_sign(described, tmp_path):
  _, exemplars, descriptions, captioner = described
  off = descriptions[1].unit
  assert list(captioner.score(exemplars, {off: ["red dots"]})) == [off]
  with pytest.raises(UserError, match="layer 1"):
    captioner.score(exemplars, {milan_jax.Unit("layer", 1): ["red dots"]})
  milan_jax.write_original(tmp_path / "original", exemplars, descriptions)
  assert milan_jax.open_exemplars(tmp_path / "original").exemplars(
    "layer"
  ).units.tolist() == [0]
  rows = (tmp_path / "original" / "annotations.csv").read_text().splitlines()
  assert [row.split(",")[:2] for row in rows[1:]] == [["layer", "0"]]


def test_the_upper_tail_alone_has_empty_masks(images, described, tmp_path):
  probe = milan_jax.probe(
    network,
    preprocessing=milan_jax.Preprocessing.of(size=SIDE, mean=[0.0] * 3, std=[1.0] * 3),
  )
  upper = milan_jax.collect(probe, images, k=K, quantile=0.9, tail="upper")
  assert upper.exemplars("layer").off is None
  assert not upper.masks("layer", np.full(K, 1), np.arange(K)).any()
  with pytest.raises(UserError, match="tail: expected one of auto, upper"):
    milan_jax.collect(probe, images, k=K, tail="sideways")
  lower = milan_jax.collect(probe, images, k=K, quantile=0.9, tail="lower")
  with pytest.raises(UserError, match='tail="upper"'):
    milan_jax.write_original(tmp_path / "none", lower)
