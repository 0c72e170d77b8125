"""Units of nothing: no two regions belong together."""

import numpy as np
import pytest

from milan_jax._src.lab.evaluation import negatives
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.store.region_sets import RegionSetWriter

SIZE = negatives.SIZE


@pytest.fixture
def lent(tmp_path):
  """Two layers; unit N shows images of a shade of its own, in masks of its height."""
  layers = []
  for place, name in enumerate(("early", "late")):
    folder = tmp_path / name / "exemplars"
    with RegionSetWriter(folder, "layer", 4, SIZE) as writer:
      for unit in range(20):
        number = 20 * place + unit
        shade = np.full((SIZE, SIZE, 3), number, np.uint8)
        rows = [writer.image(f"{number} {slot}", shade) for slot in range(4)]
        masks = np.zeros((4, SIZE, SIZE), bool)
        masks[:, : number + 1] = True
        writer.add(unit, rows, masks)
    layers.append((folder, "layer"))
  return layers


def _shuffled(layers, folder):
  """The shades of each unit's regions, and the heights of their masks."""
  rng = np.random.default_rng(0)
  with RegionSetWriter(folder, "out", negatives.K, SIZE) as writer:
    for unit in range(3):
      negatives._add_shuffled(writer, unit, layers, rng)
  store = StoredExemplars(folder)
  found = store.exemplars("out")
  slots = np.arange(negatives.K)
  shades = [store.images(found.image_rows[row])[:, 0, 0, 0] for row in range(3)]
  masks = [store.masks("out", np.full_like(slots, row), slots) for row in range(3)]
  return np.array(shades), np.array(masks).any(3).sum(2)


def test_shuffled_regions_are_each_of_another_unit_of_all_layers(lent, tmp_path):
  shades, heights = _shuffled(lent, tmp_path / "out")
  np.testing.assert_array_equal(heights, shades + 1)
  for row in shades:
    assert len(np.unique(row)) == negatives.K
    assert 7 <= (row < 20).sum() <= 8


def test_a_layer_alone_lends_all_regions(lent, tmp_path):
  shades, _ = _shuffled(lent[1:], tmp_path / "out")
  assert shades.min() >= 20
  assert all(len(np.unique(row)) == negatives.K for row in shades)


def test_random_masks_are_smooth_and_small():
  rng = np.random.default_rng(0)
  for _ in range(20):
    mask = negatives._random_mask(rng)
    assert 0.02 < mask.mean() < 0.21
    border = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    assert border < 0.3 * mask.sum()


def test_dead_units_never_vary():
  probe = negatives.dead_units().probe
  images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
  found = np.asarray(probe.activations(images, (negatives.DEAD_LAYER,))["dead"])
  assert found.shape == (2, 7, 7, negatives.NUM_DEAD)
  assert (found == found[:1, :1, :1]).all()


def test_there_are_a_hundred():
  assert negatives.NUM_SHUFFLED + negatives.NUM_RANDOM + negatives.NUM_DEAD >= 100
