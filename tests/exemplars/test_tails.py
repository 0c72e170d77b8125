"""Both tails against numpy: units at rest at their maximum, margins, merged shards."""

import numpy as np
import pytest

from milan_jax._src.exemplars import stats, tails
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.records import LayerShape

IMAGES, K, SIDE, QUANTILE = 40, 4, 6, 0.9
UP, RESTS, NOISY, BINARY, DEAD, BRIEF = range(6)


def values(rng) -> np.ndarray:
  """Activations `(images, side, side, units)`, a unit of each kind."""
  found = rng.normal(size=(IMAGES, SIDE, SIDE, 6)).astype(np.float32)
  plateau = 2.05
  down = np.where(
    rng.random((IMAGES, SIDE, SIDE)) < 0.3, rng.random(found.shape[:3]), 0
  )
  found[..., RESTS] = plateau - 9 * down
  # As one library rounds a plateau and another does not.
  noise = 1e-6 * (rng.random(found.shape[:3]) < 0.05)
  found[..., NOISY] = np.where(down > 0, plateau - 9 * down, plateau + noise)
  found[..., BINARY] = rng.random(found.shape[:3]) < 0.5
  found[..., DEAD] = 3
  found[..., BRIEF] = 1
  found[5, 2, 2, BRIEF] = -4
  return found


@pytest.fixture
def activations():
  return values(np.random.default_rng(3))


def state(activations, ids=None, *, lower=True):
  ids = np.arange(IMAGES) if ids is None else ids
  shape = LayerShape("a", SIDE, SIDE, activations.shape[3])
  found = stats.start(shape, k=K, quantile=QUANTILE, num_images=IMAGES, lower=lower)
  for some in np.array_split(ids, 3):
    found = stats.update(found, some, activations[some])
  return found


def test_units_at_rest_at_their_maximum_are_off(activations):
  found = tails.finish(state(activations))
  assert np.flatnonzero(found.off).tolist() == [RESTS, NOISY, BRIEF]
  assert found.positions.tolist() == list(range(6))
  assert found.dead.tolist() == [unit == DEAD for unit in range(6)]


@pytest.mark.parametrize("unit", [RESTS, NOISY])
def test_an_off_unit_is_what_lies_below_its_rest(activations, unit):
  found = tails.finish(state(activations))
  each = activations[..., unit].reshape(IMAGES, -1)
  rest = np.quantile(each.astype(np.float64), QUANTILE, method="hazen")
  below = rest - each.astype(np.float64)
  order = np.lexsort((np.arange(IMAGES), -below.max(1)))[:K]
  assert found.image_ids[unit].tolist() == order.tolist()
  np.testing.assert_allclose(found.activations[unit], below.max(1)[order], atol=2e-6)
  threshold = np.quantile(below, QUANTILE, method="hazen")
  np.testing.assert_allclose(found.thresholds[unit], threshold, atol=2e-6)
  np.testing.assert_allclose(
    found.maps[unit], below[order].reshape(K, SIDE, SIDE), atol=2e-6
  )


def test_a_unit_below_its_rest_on_few_images_fires_on_these(activations):
  found = tails.finish(state(activations))
  assert found.num_firing[BRIEF] == 1
  assert found.image_ids[BRIEF, 0] == 5
  assert found.num_firing[RESTS] == IMAGES


def test_a_mask_holds_no_rounding_noise(activations):
  found = tails.finish(state(activations), "both")
  row = 2 * NOISY  # what raises it: its plateau, but for the noise
  assert not found.off[row] and found.off[row + 1]
  span = np.ptp(activations[..., NOISY])
  np.testing.assert_allclose(found.margins[row], 1e-4 * span, rtol=1e-4)
  thresholds = np.repeat(found.thresholds[row], K)
  assert activation_masks(found.maps[row], thresholds, size=SIDE).any()
  margin = found.margins[row]
  assert not activation_masks(found.maps[row], thresholds + margin, size=SIDE).any()


def test_the_upper_tail_is_as_without_the_lower(activations):
  alone = tails.finish(state(activations, lower=False))
  beside = tails.finish(state(activations), "both")
  for name in ("image_ids", "activations", "maps", "thresholds", "dead", "num_ties"):
    np.testing.assert_array_equal(getattr(beside, name)[::2], getattr(alone, name))
  assert alone.margins is None and alone.off is None
  upper = tails.finish(state(activations), "upper")
  assert upper.margins is None and upper.off is None


def test_all_units_by_what_lowers_them(activations):
  lower = tails.finish(state(activations), "lower")
  both = tails.finish(state(activations), "both")
  assert lower.off.all()
  assert both.positions.tolist() == np.repeat(np.arange(6), 2).tolist()
  np.testing.assert_array_equal(lower.maps, both.maps[1::2])


@pytest.mark.parametrize("tail", ["auto", "lower", "both"])
def test_shards_merge_to_the_same_bytes(activations, tail):
  whole = tails.finish(state(activations), tail)
  parts = [state(activations, np.arange(i, IMAGES, 3)) for i in range(3)]
  again = [stats.from_arrays(stats.to_arrays(part)) for part in parts]
  merged = tails.finish(stats.merge(*again), tail)
  for name in ("image_ids", "activations", "maps", "thresholds", "margins", "off"):
    np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


def test_a_state_saved_without_the_lower_tail_goes_on(activations):
  saved = stats.to_arrays(state(activations, lower=False))
  assert not any(name.startswith("lower") for name in saved)
  found = tails.finish(stats.from_arrays(saved))
  assert found.off is None
  with pytest.raises(ValueError, match="lower tail"):
    stats.merge(state(activations), state(activations, lower=False))
