"""Histograms and samples over the whole range, beside numpy over all values at once."""

import doctest
import json

import numpy as np
import pytest

from milan_jax._src.catalog.distributions import unit_distribution
from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import histograms, range_samples, stats, tails
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.exemplars.sampled_values import VALUES, positions_of
from milan_jax._src.files import atomic
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.records import LayerShape
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import layer_folder, write_exemplars
from tests.store.resealed import reseal

IMAGES, SIZE, K = 60, 4, 5


def _values(num=3000):
  """Columns of all kinds: signed, clipped, constant, tiny, huge, far from zero."""
  rng = np.random.default_rng(0)
  values = rng.standard_normal((num, 12)).astype(np.float32)
  values[:, 1] = np.maximum(values[:, 1], 0)
  values[:, 2] = 3.25
  values[:, 3] = 0
  values[:, 4] *= np.float32(1e-44)
  values[:, 5] *= np.float32(3e37)
  values[:, 6] += 1000
  values[:, 7] = np.exp(4 * values[:, 7])
  values[num // 2 :, 8] *= 1e6
  values[:, 9] = -np.abs(values[:, 9])
  values[7, 10], values[8, 10] = np.nan, -np.inf
  values[:, 11] = np.nan
  return values


def _counted(values, parts, batch_size, seed=0):
  states = []
  for part in np.array_split(
    np.random.default_rng(seed).permutation(len(values)), parts
  ):
    state = histograms.start(values.shape[1])
    for first in range(0, len(part), batch_size):
      state = histograms.update(state, values[part[first : first + batch_size]])
    states.append(state)
  while len(states) > 1:
    states.append(histograms.merge(states.pop(), states.pop()))
  return histograms.finish(states[0])


@pytest.mark.parametrize(("parts", "batch_size"), [(1, 3000), (1, 7), (5, 100)])
def test_a_histogram_is_numpys_in_any_order_and_parts(parts, batch_size):
  values = _values()
  bins, counts = _counted(values, parts, batch_size)
  for unit, ((start, width), ours) in enumerate(zip(bins, counts, strict=True)):
    mine = values[:, unit][np.isfinite(values[:, unit])].astype(np.float64)
    if not mine.size:
      assert (start, width, ours.sum()) == (0, 1, 0)
      continue
    edges = start + width * np.arange(histograms.BINS + 1)
    # numpy's last bin includes its end, which no value of ours may reach.
    assert edges[0] <= mine.min() < edges[1] and mine.max() < edges[-1]
    np.testing.assert_array_equal(ours, np.histogram(mine, edges)[0])
    # The next narrower bins would not cover the range, or be below float32's digits.
    narrow = np.floor(mine / (width / 2))
    digits = width <= max(np.abs(mine).max() * 2.0**-23, 2.0**-172)
    assert digits or narrow.max() - narrow.min() >= histograms.BINS, unit
    assert np.log2(width) % 1 == 0


def test_the_example_of_the_docstring():
  assert doctest.testmod(histograms).failed == 0


@pytest.mark.parametrize(
  ("count", "positions"), [(9, 49), (49, 49), (1, 12544), (512, 12544)]
)
def test_positions_are_distinct_and_over_images_even(count, positions):
  found = positions_of(np.arange(5000), count, positions)
  assert (np.diff(found, axis=1) > 0).all() if count > 1 else True
  assert found.min() == 0 and found.max() == positions - 1
  seen = np.bincount(found.ravel(), minlength=positions)
  expected = 5000 * count / positions
  assert np.abs(seen - expected).max() < 3 + 0.1 * expected


def _activations():
  rng = np.random.default_rng(1)
  values = rng.standard_normal((IMAGES, SIZE, SIZE, 6)).astype(np.float32)
  values *= rng.exponential(1, (IMAGES, 1, 1, 6)).astype(np.float32)
  values[..., 1] = np.maximum(values[..., 1], 0)
  values[..., 2] = 1
  values[IMAGES // 2 :, ..., 3] *= 100
  values[3, 0, 0, 4], values[5, 1, 1, 4] = np.nan, np.inf
  # Rests at its maximum: what lowers it is shown.
  values[..., 5] = 2 - np.maximum(values[..., 5], 0)
  return values


def _state(values, parts=1, batch_size=IMAGES, lower=False, seed=0):
  shape = LayerShape("a", SIZE, SIZE, values.shape[3])
  order = np.random.default_rng(seed).permutation(len(values))
  states = []
  for part in np.array_split(order, parts):
    state = stats.start(shape, k=K, quantile=0.9, num_images=IMAGES, lower=lower)
    for first in range(0, len(part), batch_size):
      ids = part[first : first + batch_size]
      state = stats.update(state, ids, values[ids])
    states.append(stats.from_arrays(stats.to_arrays(state)))
  return stats.merge(*states)


def _expected_samples(values, bins):
  """Of each interval of eight bins, the image that comes first in the permutation."""
  samples = {}
  for image in np.argsort(
    np.arange(IMAGES, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
  ):
    maximum = float(values[image].max())
    if np.isfinite(maximum):
      samples.setdefault(np.floor(maximum / (8 * bins[1])), [image, maximum, 0])[2] += 1
  return sorted(samples.values(), key=lambda sample: -sample[1])


@pytest.mark.parametrize(("parts", "batch_size"), [(1, IMAGES), (1, 1), (4, 7)])
def test_samples_are_those_of_brute_force(parts, batch_size):
  values = _activations()
  with np.errstate(invalid="ignore"):
    found = stats.finish(_state(values, parts, batch_size, seed=parts))
  for unit in range(values.shape[3]):
    mine = values[..., unit]
    expected = _expected_samples(mine, found.maximum_bins[unit])
    number = len(expected)
    ids = found.sample_ids[unit]
    assert ids[:number].tolist() == [image for image, _, _ in expected]
    assert (ids[number:] == -1).all() and np.isnan(
      found.sample_activations[unit, number:]
    ).all()
    np.testing.assert_array_equal(
      found.sample_activations[unit, :number], [maximum for _, maximum, _ in expected]
    )
    np.testing.assert_array_equal(
      found.sample_shares[unit],
      [share for *_, share in expected] + [0] * (len(ids) - number),
    )
    np.testing.assert_array_equal(found.sample_maps[unit, :number], mine[ids[:number]])
    assert not found.sample_maps[unit, number:].any()
    maxima = mine.max(axis=(1, 2))
    finite = np.isfinite(maxima)
    start, width = found.maximum_bins[unit]
    edges = start + width * np.arange(histograms.BINS + 1)
    np.testing.assert_array_equal(
      found.maximum_counts[unit], np.histogram(maxima[finite], edges)[0]
    )
  # A unit of some spread has samples from at least half of the possible intervals.
  assert 2 * (found.sample_ids[0] >= 0).sum() >= range_samples.SAMPLES


def test_all_values_are_counted_where_they_are_few():
  values = _activations()
  assert SIZE * SIZE * values.shape[3] < VALUES
  found = stats.finish(_state(values, 2, 9))
  for unit, (start, width) in enumerate(found.value_bins):
    mine = values[..., unit].ravel()
    edges = start + width * np.arange(histograms.BINS + 1)
    counts, _ = np.histogram(mine[np.isfinite(mine)], edges)
    np.testing.assert_array_equal(found.value_counts[unit], counts)


def test_of_many_values_those_at_some_positions_are_counted(monkeypatch):
  monkeypatch.setattr("milan_jax._src.exemplars.sampled_values.VALUES", 20)
  values = _activations()
  places = positions_of(np.arange(IMAGES), 3, SIZE * SIZE)
  flat = values.reshape(IMAGES, -1, values.shape[3])
  chosen = flat[np.arange(IMAGES)[:, None], places].reshape(-1, values.shape[3])
  bins, counts = _counted(chosen, 1, len(chosen))
  found = stats.finish(_state(values, 3, 4))
  np.testing.assert_array_equal(found.value_bins, bins)
  np.testing.assert_array_equal(found.value_counts, counts)


def test_an_off_unit_has_the_distribution_below_its_rest():
  values = _activations()
  found = tails.finish(_state(values, 2, 11, lower=True))
  assert found.off.tolist() == [False] * 5 + [True]
  below = (2 - values[..., 5]).astype(np.float64)
  for bins, counts, expected in (
    (found.value_bins[5], found.value_counts[5], below.ravel()),
    (found.maximum_bins[5], found.maximum_counts[5], below.max(axis=(1, 2))),
  ):
    edges = bins[0] + bins[1] * np.arange(histograms.BINS + 1)
    assert counts.sum() == expected.size
    # Values on an edge, such as those at rest, belong to the bin below it.
    np.testing.assert_array_equal(
      counts, np.histogram(-expected, -edges[::-1])[0][::-1]
    )
  ids = found.sample_ids[5]
  number = (ids >= 0).sum()
  assert number >= 3
  np.testing.assert_allclose(
    found.sample_maps[5, :number], below[ids[:number]], atol=1e-6
  )
  np.testing.assert_allclose(
    found.sample_activations[5, :number],
    below[ids[:number]].max(axis=(1, 2)),
    atol=1e-6,
  )


@pytest.fixture
def store(tmp_path):
  found = stats.finish(_state(_activations()))
  images = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
  write_exemplars(tmp_path / "store", {"a": found}, ArrayImages(images))
  return tmp_path / "store", found, images


def test_a_store_keeps_it_and_a_choice_of_its_units_too(store):
  folder, found, images = store
  whole = open_exemplars(folder)
  chosen = ChosenExemplars(whole, {"a": np.array([4, 0])})
  for opened, rows in ((whole, np.arange(6)), (chosen, np.array([4, 0]))):
    ours = opened.distribution("a")
    for name in (
      "value_bins",
      "value_counts",
      "maximum_bins",
      "maximum_counts",
      "sample_activations",
      "sample_shares",
    ):
      np.testing.assert_array_equal(getattr(ours, name), getattr(found, name)[rows])
    unit, slot = np.nonzero(ours.sample_rows >= 0)
    ids = found.sample_ids[rows][unit, slot]
    image_rows = ours.sample_rows[unit, slot]
    np.testing.assert_array_equal(opened.images(image_rows), images[ids])
    assert opened.image_names(image_rows) == [
      ArrayImages(images).name(i) for i in ids.tolist()
    ]
    maps = found.sample_maps[rows][unit, slot]
    masks = opened.sample_masks("a", unit, slot)
    levels = found.thresholds[rows][unit]
    expected = activation_masks(maps, levels, size=8)
    expected[maps.max(axis=(1, 2)) <= levels] = False
    np.testing.assert_array_equal(masks, expected)
    above = ours.sample_above[unit, slot]
    np.testing.assert_array_equal(above, maps.max(axis=(1, 2)) > levels)
    assert masks.any() and not masks.any(axis=(1, 2)).all()
  exemplar_ids = np.unique(found.image_ids)
  assert whole.num_images == len(exemplar_ids) < IMAGES


def test_a_units_page_has_its_exact_bins_and_which_samples_are_below(store):
  folder, found, _ = store
  opened = open_exemplars(folder)
  unit = unit_distribution(opened, opened.distribution("a"), 0, opened.image_names)
  number = (found.sample_ids[0] >= 0).sum()
  maxima = found.sample_activations[0, :number]
  expected = (maxima <= found.thresholds[0]).tolist()
  details = unit.details()
  assert details["samples"]["below"] == expected and len(set(expected)) == 2
  start, width, counts = json.loads(json.dumps(details["maxima"]))
  assert width == found.maximum_bins[0, 1]
  edges = start + width * np.arange(len(counts) + 1)
  every = _activations()[..., 0].max(axis=(1, 2))
  np.testing.assert_array_equal(counts, np.histogram(every, edges)[0])
  assert sum(counts) == IMAGES


def test_a_store_of_an_earlier_version_has_no_distribution(store):
  folder, found, _ = store
  new = [
    path
    for path in folder.rglob("*")
    if path.name.startswith(("sample_", "value_", "maximum_"))
  ]
  assert len(new) == 3 + 9
  for path in new:
    path.unlink()
  reseal(folder)
  opened = open_exemplars(folder)
  assert opened.distribution("a") is None
  np.testing.assert_array_equal(opened.exemplars("a").image_ids, found.image_ids)


def _set(folder, name, value):
  array = np.load(folder / "layers" / "a" / f"{name}.npy")
  if array.dtype.kind == "u":
    array = array.astype(np.int64)
  array[0, 0] = value
  np.save(folder / "layers" / "a" / f"{name}.npy", array)


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    ("value_counts", -1, "expected counts, found -1"),
    ("maximum_counts", -2, "expected counts, found -2"),
    ("sample_shares", -3, "expected counts, found -3"),
    ("sample_rows", IMAGES, f"expected rows of .* images, or -1, found {IMAGES}"),
    ("sample_activations", np.nan, "expected numbers, found nan"),
    ("maximum_bins", np.inf, "expected a start and a positive width, found inf"),
  ],
)
def test_a_damaged_distribution_is_refused(store, name, value, message):
  folder, *_ = store
  _set(folder, name, value)
  reseal(folder)
  with pytest.raises(UserError, match=rf"{name}\.npy: {message} at \[0, 0\]"):
    open_exemplars(folder)


def test_names_of_samples_that_are_not_strings_are_refused(store):
  folder, *_ = store
  path = folder / "sample_image_names.json"
  names = json.loads(path.read_text())
  atomic.write_json(path, [*names[:-1], 1])
  reseal(folder)
  with pytest.raises(UserError, match=f"{path.name}: expected a name for each of"):
    open_exemplars(folder)


def test_maps_of_samples_without_values_or_with_nan_are_refused(store):
  folder, *_ = store
  path = layer_folder(folder, "a") / "sample_maps.npy"
  maps = np.load(path)
  np.save(path, maps[:, :0])
  reseal(folder)
  with pytest.raises(UserError, match="expected maps of at least one value"):
    open_exemplars(folder)
  maps[0, 1, 1] = np.nan
  np.save(path, maps)
  reseal(folder)
  opened = open_exemplars(folder)
  unit, slot = np.nonzero(opened.distribution("a").sample_above)
  with pytest.raises(UserError, match=r"sample_maps\.npy: expected maps without NaN"):
    opened.sample_masks("a", unit, slot)


def test_a_state_saved_without_a_distribution_goes_on():
  values = _activations()
  shape = LayerShape("a", SIZE, SIZE, values.shape[3])
  state = stats.start(
    shape, k=K, quantile=0.9, num_images=IMAGES, lower=True, distribution=False
  )
  state = stats.from_arrays(stats.to_arrays(state))
  state = stats.update(state, np.arange(IMAGES), values)
  whole = tails.finish(_state(values, lower=True))
  found = tails.finish(state)
  assert found.value_bins is None and found.sample_maps is None
  np.testing.assert_array_equal(found.image_ids, whole.image_ids)
  np.testing.assert_array_equal(found.thresholds, whole.thresholds)


def test_samples_are_mostly_the_same_images():
  values = np.random.default_rng(2).standard_normal((IMAGES, 1, 1, 40))
  found = stats.finish(_state_of_many(values.astype(np.float32)))
  ids = found.sample_ids[found.sample_ids >= 0]
  # The most common intervals of all units have the first image of the permutation.
  assert np.bincount(ids)[0] == 40
  assert range_samples.SAMPLES == 9


def _state_of_many(values):
  shape = LayerShape("a", 1, 1, values.shape[3])
  state = stats.start(shape, k=K, quantile=0.9, num_images=IMAGES)
  return stats.update(state, np.arange(IMAGES), values)
