"""On how many images a unit fires: counted beside numpy, in any order and parts."""

import numpy as np
import pytest

from milan_jax._src.exemplars import stats
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.records import LayerExemplars, LayerShape
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import layer_folder, write_exemplars
from tests.store.resealed import reseal

IMAGES, SIZE, K = 28, 3, 15
# Units, and on how many of the images each fires.
FIRES = {
  "on 4": 4,
  "never": 0,
  "signed": IMAGES,
  "on all, never zero": IMAGES,
  "on 15": 15,
  "below zero once": IMAGES,
  "minus zero": 4,
  "negative": IMAGES,
  "on 20, NaN twice": 18,
  "on 1": 1,
}


def _made(seed=0):
  rng = np.random.default_rng(seed)
  values = np.zeros((IMAGES, SIZE, SIZE, len(FIRES)), np.float32)
  where = rng.permutation(IMAGES)
  for unit, name in enumerate(FIRES):
    number = {"minus zero": 4, "on 20, NaN twice": 20}.get(name, FIRES[name])
    spots = rng.integers(0, SIZE, (number, 2))
    for image, (row, column) in zip(where[:number], spots, strict=True):
      values[image, row, column, unit] = rng.uniform(0.1, 2)
  names = list(FIRES)
  shape = (IMAGES, SIZE, SIZE)
  values[..., names.index("signed")] = rng.standard_normal(shape)
  values[..., names.index("on all, never zero")] = rng.uniform(1, 2, shape)
  once = names.index("below zero once")
  values[5:, ..., once] = 0
  values[-1, 0, 0, once] = -1e-30
  minus = values[..., names.index("minus zero")]
  minus[minus == 0] = -0.0
  values[..., names.index("negative")] = -rng.uniform(1, 2, shape)
  bad = values[..., names.index("on 20, NaN twice")]
  bad[where[0], 0, 0], bad[where[1], 1, 1] = np.nan, np.inf
  return values


def _count(values, parts):
  shape = LayerShape("a", SIZE, SIZE, values.shape[3])
  states = []
  for part in parts:
    state = stats.start(shape, k=K, quantile=0.99, num_images=IMAGES)
    for first in range(0, len(part), 5):
      ids = part[first : first + 5]
      state = stats.update(state, ids, values[ids])
    states.append(stats.from_arrays(stats.to_arrays(state)))
  return stats.finish(stats.merge(*states))


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_firing_images_are_counted_in_any_order_and_parts(parts):
  values = _made()
  order = np.random.default_rng(parts).permutation(IMAGES)
  found = _count(values, np.array_split(order, parts))
  np.testing.assert_array_equal(found.num_firing, list(FIRES.values()))
  bad = np.array(["NaN" in name for name in FIRES])
  np.testing.assert_array_equal(found.num_images, IMAGES - 2 * bad)


@pytest.fixture
def store(tmp_path):
  found = _count(_made(), [np.arange(IMAGES)])
  images = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
  write_exemplars(tmp_path / "store", {"a": found}, ArrayImages(images))
  return tmp_path / "store"


def test_a_store_tells_and_so_does_a_choice_of_it(store):
  found = open_exemplars(store).exemplars("a")
  np.testing.assert_array_equal(found.num_firing, list(FIRES.values()))
  # Exemplars that count are those above zero; none does of a unit that never fires.
  above = (found.activations > 0).sum(axis=1)
  rests = np.isin(list(FIRES), ["on 4", "on 15", "minus zero", "on 1"])
  np.testing.assert_array_equal(found.num_regions[rests], above[rests])
  assert (found.num_regions[~rests] == K).all()
  rows = np.array([9, 0])
  chosen = ChosenExemplars(open_exemplars(store), {"a": rows}).exemplars("a")
  assert chosen.num_firing.tolist() == [1, 4] == chosen.num_regions.tolist()
  assert chosen.num_images.tolist() == [IMAGES] * 2


def test_a_store_of_an_earlier_version_counts_all_its_exemplars(store):
  for name in ("num_firing", "num_images"):
    (layer_folder(store, "a") / f"{name}.npy").unlink()
  reseal(store)
  found = open_exemplars(store).exemplars("a")
  assert found.num_firing is None and found.num_images is None
  assert isinstance(found, LayerExemplars)
  assert found.num_regions.tolist() == [K] * len(FIRES)
