"""Units of nothing: no two regions belong together."""

import numpy as np
import pytest

from milan_jax._src.lab.evaluation import negatives
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.store.region_sets import RegionSetWriter

SIZE = negatives.SIZE


@pytest.fixture
def lent(tmp_path):
  """A store whose unit N shows images of the shade N, in masks of the height N + 1."""
  folder = tmp_path / "test" / "exemplars"
  with RegionSetWriter(folder, "layer", 4, SIZE) as writer:
    for unit in range(20):
      shade = np.full((SIZE, SIZE, 3), unit, np.uint8)
      rows = [writer.image(f"{unit} {slot}", shade) for slot in range(4)]
      masks = np.zeros((4, SIZE, SIZE), bool)
      masks[:, : unit + 1] = True
      writer.add(unit, rows, masks)
  return folder


def test_shuffled_regions_are_each_of_another_unit(lent, tmp_path):
  rng = np.random.default_rng(0)
  with RegionSetWriter(tmp_path / "out", "out", negatives.K, SIZE) as writer:
    for unit in range(3):
      negatives._add_shuffled(writer, unit, lent, "layer", rng)
  store = StoredExemplars(tmp_path / "out")
  found = store.exemplars("out")
  for row in range(3):
    slots = np.arange(negatives.K)
    shades = store.images(found.image_rows[row])[:, 0, 0, 0]
    masks = store.masks("out", np.full_like(slots, row), slots)
    assert len(np.unique(shades)) == negatives.K
    np.testing.assert_array_equal(masks.any(2).sum(1), shades + 1)


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
