import dataclasses

import numpy as np
import pytest

from milan_jax._src.exemplars import stats, top_images
from milan_jax._src.records import LayerShape

K = 4


def made(images=30, size=3, units=6, seed=0):
  rng = np.random.default_rng(seed)
  # Few different values, so that maxima tie.
  values = rng.integers(0, 40, (images, size, size, units)).astype(np.float32) - 20
  values[..., 3] = 1.5  # constant
  values[..., 4] = 0
  values[images // 2, 1, 1, 4] = -1  # its maximum never varies, but it does
  return values


def run(values, order=None, batch_size=7, k=K, groups=None):
  images, height, width, units = values.shape
  shape = LayerShape("a", height, width, units)
  state = stats.start(shape, k=k, quantile=0.99, num_images=images)
  order = np.arange(images) if order is None else order
  for first in range(0, images, batch_size):
    ids = order[first : first + batch_size]
    state = stats.update(state, ids, values[ids], groups)
  return state


def brute_force(values, k=K):
  ids = np.empty((values.shape[3], k), np.int64)
  for unit in range(values.shape[3]):
    maxima = values[..., unit].reshape(len(values), -1).max(axis=1)
    ranked = sorted(range(len(values)), key=lambda image: (-maxima[image], image))
    ids[unit] = ranked[:k]
  units = np.arange(values.shape[3])[:, None]
  maps = values.transpose(3, 0, 1, 2)[units, ids]
  return ids, maps.max(axis=(2, 3)), maps


def same(a, b):
  return all(
    getattr(a, field.name).tobytes() == getattr(b, field.name).tobytes()
    for field in dataclasses.fields(a)
    if getattr(a, field.name) is not None
  )


@pytest.mark.parametrize("batch_size", [1, 7, 30])
@pytest.mark.parametrize("seed", range(4))
def test_top_images_equal_brute_force(batch_size, seed):
  values = made(seed=seed)
  found = stats.finish(run(values, batch_size=batch_size))
  ids, activations, maps = brute_force(values)
  np.testing.assert_array_equal(found.image_ids, ids)
  np.testing.assert_array_equal(found.activations, activations)
  np.testing.assert_array_equal(found.maps, maps)
  np.testing.assert_array_equal(found.dead, [False, False, False, True, False, False])
  maxima = values.max(axis=(1, 2)).T
  as_good = (maxima == activations[:, -1:]).sum(axis=1)
  kept = (activations == activations[:, -1:]).sum(axis=1)
  np.testing.assert_array_equal(found.num_ties, as_good - kept)
  assert found.num_ties[3] == 30 - K and found.num_ties.any()
  assert not found.num_bad_maps.any()


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_order_batches_and_shards_give_the_same_bytes(shards):
  values = made()
  want = stats.finish(run(values))
  rng = np.random.default_rng(shards)
  parts = []
  for part in np.array_split(rng.permutation(len(values)), shards):
    state = run(values, order=np.arange(0))
    for first in range(0, len(part), 3):
      ids = part[first : first + 3]
      state = stats.update(state, ids, values[ids])
    parts.append(state)
  assert same(stats.finish(stats.merge(*parts)), want)


def test_constants_of_two_shards_tell_that_a_unit_varies():
  values = np.zeros((10, 2, 2, 2), np.float32)
  values[5:, :, :, 1] = 2
  low, high = np.arange(5), np.arange(5, 10)
  states = [
    stats.update(run(values, order=low[:0]), ids, values[ids]) for ids in (low, high)
  ]
  assert stats.finish(stats.merge(*states)).dead.tolist() == [True, False]


def test_nan_and_infinity_never_rank_and_are_counted():
  values = made()
  values[..., 5] = np.nan  # nothing at all
  values[4, 0, 2, 0] = np.nan
  values[9, 0, 0, 1] = np.inf
  found = stats.finish(run(values))
  assert found.num_bad_maps.tolist() == [1, 1, 0, 0, 0, 30]
  assert 4 not in found.image_ids[0]
  assert 9 not in found.image_ids[1]
  without = np.delete(values, 4, axis=0)
  ids, activations, _ = brute_force(without)
  np.testing.assert_array_equal(found.image_ids[0], ids[0] + (ids[0] >= 4))
  np.testing.assert_array_equal(found.activations[0], activations[0])
  assert found.dead.tolist() == [False, False, False, True, False, True]
  # A unit without exemplars still names images that exist.
  assert (found.image_ids >= 0).all()
  assert (found.image_ids < 30).all()
  assert (found.activations[5] == -np.inf).all()


def test_fewer_finite_images_than_exemplars_make_a_unit_dead():
  values = made(images=6)
  values[:3, 0, 0, 2] = np.nan
  found = stats.finish(run(values))
  assert found.dead[2]
  assert found.activations[2, 3] == -np.inf
  assert found.image_ids[2, 3] == found.image_ids[2, 0]


def test_states_survive_being_taken_apart():
  values = made()
  half = run(values, order=np.arange(15))
  arrays = stats.to_arrays(half)
  assert all(isinstance(array, np.ndarray) for array in arrays.values())
  state = stats.from_arrays({name: array.copy() for name, array in arrays.items()})
  state = stats.update(state, np.arange(15, 30), values[15:])
  assert same(stats.finish(state), stats.finish(run(values)))


def test_an_empty_batch_changes_nothing():
  values = made()
  state = stats.update(run(values), np.arange(0), values[:0])
  assert same(stats.finish(state), stats.finish(run(values)))


def test_maps_stay_where_they_were_written():
  state = top_images.start(1, 3, 1, 1)
  for image, value in enumerate([1, 3, 2, 5, 4]):
    activations = np.full((1, 1, 1, 1), value, np.float32)
    maxima = activations[:, 0, 0]
    state = top_images.update(state, np.array([image]), activations, maxima)
  assert state.image_ids.tolist() == [[3, 4, 1]]
  assert top_images.ranked_maps(state).ravel().tolist() == [5, 4, 3]
  # The map of image 1 was never moved: it took the second place that came free.
  assert state.maps[0, state.slots[0, 2], 0, 0] == 3
  assert sorted(state.slots[0].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_at_most_two_images_of_a_group(batch_size, seed):
  values = made(seed=seed)
  rng = np.random.default_rng(seed)
  groups = top_images.Groups.of(rng.integers(0, 6, len(values)), K)
  assert groups.limit == 2
  expected = []
  for unit in range(values.shape[3]):
    maxima = values[..., unit].reshape(len(values), -1).max(axis=1)
    taken = []
    for image in sorted(range(len(values)), key=lambda image: (-maxima[image], image)):
      alike = groups.of_image[np.array(taken, int)] == groups.of_image[image]
      if alike.sum() < 2 and len(taken) < K:
        taken.append(image)
    expected.append(taken)
  order = rng.permutation(len(values))
  found = stats.finish(run(values, order, batch_size, groups=groups))
  alive = ~found.dead
  assert found.image_ids[alive].tolist() == np.array(expected)[alive].tolist()
  units = np.arange(values.shape[3])[:, None]
  maps = values.transpose(3, 0, 1, 2)[units, found.image_ids]
  np.testing.assert_array_equal(found.maps, maps)
  parts = [run(values, part, 7, groups=groups) for part in np.array_split(order, 3)]
  assert same(stats.finish(stats.merge(*parts, groups=groups)), found)


def test_few_groups_give_more_images_each():
  assert top_images.Groups.of(np.array([0] * 9 + [1, 2]), 6).limit == 4
  assert top_images.Groups.of(np.array([0, 0, 0]), 5).limit == 3
  assert top_images.Groups.of(np.arange(9), 5).limit == 2
