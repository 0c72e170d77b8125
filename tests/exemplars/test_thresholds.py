import dataclasses
import doctest

import numpy as np
import pytest

from milan_jax._src.exemplars import binned_thresholds, bins, thresholds, top_values
from milan_jax._src.records import LayerShape

QUANTILE = 0.99
# For all values, for those of some images, and for hardly any.
CAPACITIES = (thresholds.CAPACITY, 10, 1)


def count(
  values,
  num_images=None,
  batch_size=7,
  quantile=QUANTILE,
  order=None,
  capacity=thresholds.CAPACITY,
):
  """The state after values `(images, height, width, units)`, a few images at a time."""
  images, *shape = values.shape
  state = thresholds.start(
    LayerShape("a", *shape),
    num_images=num_images or images,
    quantile=quantile,
    capacity=capacity,
  )
  order = np.arange(images) if order is None else order
  for first in range(0, len(order), batch_size):
    ids = order[first : first + batch_size]
    num_nan = np.isnan(values[ids]).sum(axis=(1, 2))
    state = thresholds.update(state, ids, values[ids], num_nan)
  return state


def run(values, **options):
  return thresholds.unit_thresholds(count(values, **options))


def exact(values, quantile=QUANTILE):
  flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
  return np.nanquantile(flat, quantile, axis=0, method="hazen")


def bin_width(values, quantile):
  """How wide the bins of the two order statistics are, at most."""
  flat = np.sort(values.reshape(-1, values.shape[-1]), axis=0)
  place = int(quantile * len(flat) - 0.5)
  return np.abs(flat[[place, place + 1]]).max(axis=0) * 2.0**-bins.MANTISSA_BITS


def made(kind, images=60, size=6, units=5, seed=0):
  rng = np.random.default_rng(seed)
  values = rng.standard_normal((images, size, size, units)).astype(np.float32)
  values *= np.float32(10.0) ** np.arange(-3, units - 3, dtype=np.float32)
  if kind == "relu":
    values = np.maximum(values, 0)
  elif kind == "sparse relu":
    values = np.where(rng.random(values.shape) < 0.995, 0, np.abs(values))
  elif kind == "negative":
    values = -np.abs(values) - np.float32(0.5)
  elif kind == "crossing zero":  # the hundredth largest is near zero
    values = np.where(rng.random(values.shape) < 0.99, -np.abs(values), np.abs(values))
  elif kind == "small":
    values *= np.float32(1e-30)
  elif kind == "large":
    values *= np.float32(1e30)
  elif kind == "steps":
    values = np.round(values)
  return values.astype(np.float32)


KINDS = (
  "signed",
  "relu",
  "sparse relu",
  "negative",
  "crossing zero",
  "small",
  "large",
  "steps",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 7, 60])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999])
def test_thresholds_equal_numpys_quantile_below_capacity(kind, batch_size, quantile):
  values = made(kind)
  found = run(values, batch_size=batch_size, quantile=quantile)
  np.testing.assert_array_equal(found, exact(values, quantile).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 7, 60])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("capacity", CAPACITIES[1:])
def test_they_are_within_a_bin_beyond_capacity(kind, batch_size, quantile, capacity):
  values = made(kind)
  state = count(values, batch_size=batch_size, quantile=quantile, capacity=capacity)
  assert state.stride > 1
  error = np.abs(thresholds.unit_thresholds(state) - exact(values, quantile))
  assert (error <= bin_width(values, quantile)).all()


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_a_threshold_of_zero_is_exactly_zero(capacity):
  assert (run(made("sparse relu"), capacity=capacity) == 0).all()
  assert (run(np.zeros((20, 3, 3, 2), np.float32), capacity=capacity) == 0).all()
  assert run(np.full((20, 3, 3, 1), -0.0, np.float32), capacity=capacity) == 0


@pytest.mark.parametrize("capacity", [thresholds.CAPACITY, 80])
@pytest.mark.parametrize("batch_size", [7, 60])
def test_a_unit_that_rests_at_one_value_has_that_threshold(batch_size, capacity):
  # Nearly everywhere one value, and in a few places above or below it.
  rng = np.random.default_rng(0)
  rest = np.float32([-3.1, 0.0011, 7.77, -1e-20])
  values = np.tile(rest, (60, 6, 6, 1))
  other = rng.random(values.shape)
  values *= np.where(other < 0.004, 1.0007, np.where(other > 0.9, 0.999, 1))
  values = values.astype(np.float32)
  state = count(values, batch_size=batch_size, capacity=capacity)
  np.testing.assert_array_equal(
    thresholds.unit_thresholds(state), exact(values).astype(np.float32)
  )


def test_many_values_give_a_threshold_much_closer_than_a_bin():
  values = made("signed", images=400, size=16, units=4)
  error = np.abs(run(values, batch_size=64, capacity=1) / exact(values) - 1)
  assert error.max() < 2.0**-bins.MANTISSA_BITS / 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_order_batches_and_shards_do_not_matter(kind, capacity):
  values = made(kind)
  want = run(values, batch_size=60, capacity=capacity).tobytes()
  rng = np.random.default_rng(3)
  for batch_size in (1, 13):
    order = rng.permutation(len(values))
    found = run(values, batch_size=batch_size, order=order, capacity=capacity)
    assert found.tobytes() == want
  for shards in (2, 4):
    parts = np.array_split(rng.permutation(len(values)), shards)
    merged, *others = (count(values, order=part, capacity=capacity) for part in parts)
    for other in others:
      merged = thresholds.merge(merged, other)
    assert thresholds.unit_thresholds(merged).tobytes() == want


@pytest.mark.parametrize("batch_size", [7, 40])
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_shards_of_unlike_values_merge(batch_size, capacity):
  # One part has no zero that counts, the other counts zeros and negatives.
  values = np.zeros((80, 4, 4, 1), np.float32)
  values[:5] = 3
  values[40:] = -2 - np.random.default_rng(0).random((40, 4, 4, 1))
  for quantile in (0.9, 0.93, 0.99):
    options = {"batch_size": batch_size, "quantile": quantile, "capacity": capacity}
    want = run(values, **options).tobytes()
    for halves in ((0, 40), (40, 0)):
      a, b = (
        count(values, order=np.arange(first, first + 40), **options) for first in halves
      )
      assert thresholds.unit_thresholds(thresholds.merge(a, b)).tobytes() == want


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_images_that_are_missing_from_the_total(capacity):
  # The pass expected more images than could be read.
  values = made("signed")
  found = run(values, num_images=90, capacity=capacity)
  assert (np.abs(found - exact(values)) <= bin_width(values, QUANTILE)).all()


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_nan_is_no_value(capacity):
  values = made("signed")
  values[3, 2, 1, 0] = np.nan
  values[:, 0, 0, 1] = np.nan
  values[..., 2] = np.nan
  found = run(values, capacity=capacity)
  kept = [0, 1, 3, 4]
  np.testing.assert_allclose(found[kept], exact(values[..., kept]), rtol=2**-8)
  assert found[2] == np.inf


def test_infinite_values_are_values():
  values = made("signed", images=50, size=1, units=2)
  values[0, 0, 0, 0] = np.inf
  values[:, 0, 0, 1] = -np.inf
  found = run(values)
  assert found[0] == np.sort(values[:, 0, 0, 0])[-1 - (0.99 * 50 - 0.5 < 49)]
  assert found[1] == -np.inf


def test_what_is_kept_is_bounded():
  rng = np.random.default_rng(0)
  values = rng.standard_normal((512, 8, 8, 16)).astype(np.float32)
  state = thresholds.start(LayerShape("a", 8, 8, 16), num_images=512, quantile=QUANTILE)
  floors = []
  for first in range(0, 512, 16):
    some = values[first : first + 16]
    ids = np.arange(first, first + 16)
    state = thresholds.update(state, ids, some, np.zeros((16, 16), np.int64))
    floors.append(state.top.floor)
    assert state.top.num_kept <= 2 * state.top.needed * 16 + some.size
  assert (np.diff(np.where(np.isinf(floors), -9, floors), axis=0) >= 0).all()
  assert (floors[-1] > 1.8).all()


def test_the_bound_rises_and_memory_stays():
  rng = np.random.default_rng(0)
  values = rng.standard_normal((512, 8, 8, 16)).astype(np.float32)
  state = binned_thresholds.start(16, values[..., 0].size, QUANTILE)
  bounds, sizes = [], []
  for first in range(0, 512, 16):
    some = values[first : first + 16]
    state = binned_thresholds.update(state, some, np.zeros(16, np.int64))
    bounds.append(state.bound)
    sizes.append(len(state.counted.octaves) / 16)
  assert (np.diff(bounds, axis=0) >= 0).all()
  assert sizes[-1] <= 4
  # Nearly all of the values below the threshold were never counted.
  assert state.counted.counts.sum() < 0.12 * values.size
  # What rules values out is true: the threshold's own values lie above the bound.
  flat = np.sort(values.reshape(-1, 16), axis=0)
  assert (bins.edge(state.bound) <= flat[int(0.99 * len(flat) - 0.5)]).all()


def test_a_sample_that_misleads_proves_nothing():
  # Every fourth value is large, and these are the ones that a sample would be of.
  values = np.random.default_rng(0).uniform(1, 2, (64, 8, 8, 2)).astype(np.float32)
  flat = values.reshape(-1, 2)
  flat[::4] += 10
  state = binned_thresholds.start(2, 40 * len(flat), QUANTILE)
  state = binned_thresholds.update(state, values, np.zeros(2, np.int64))
  above = (flat >= bins.edge(state.bound)[None, :]).sum(axis=0)
  assert ((above >= 0.01 * 40 * len(flat)) | (state.bound == bins.NO_BIN)).all()
  found, *_ = binned_thresholds.quantiles(state)
  np.testing.assert_allclose(found, exact(values), rtol=2**-8)


def test_units_that_rest_are_counted_together():
  values = np.full((64, 8, 8, 2), 0.3, np.float32)
  values[..., 1] = np.random.default_rng(0).standard_normal((64, 8, 8))
  # The next bin begins exactly where this one ends.
  values[::2, 0, 0, 0] = bins.edge(bins.bins_of(np.float32([0.3])) + 1)
  state = binned_thresholds.start(2, values[..., 0].size, QUANTILE)
  for first in range(0, 64, 8):
    some = values[first : first + 8]
    state = binned_thresholds.update(state, some, np.zeros(2, np.int64))
  assert binned_thresholds._crowded(state, 41).tolist() == [0]
  resting = state.counted.units == 0
  assert state.counted.sums[resting].tolist() == [64 * 64]
  assert state.counted.counts[resting].max() == 64 * 64 - 32


def test_a_bin_that_is_counted_together_knows_its_least_and_greatest():
  values = np.linspace(1, 1.003, 64 * 64, dtype=np.float32).reshape(64, 8, 8, 1)
  for some in (values, values[::-1].copy()):
    state = binned_thresholds.start(1, values.size, QUANTILE)
    for first in range(0, 64, 4):
      batch = some[first : first + 4]
      state = binned_thresholds.update(state, batch, np.zeros(1, np.int64))
    assert (state.counted.sums > 0).sum() == 1
    threshold, least, most = binned_thresholds.quantiles(state)
    assert (least[0], most[0]) == (values.min(), values.max())
    np.testing.assert_allclose(threshold, exact(values), rtol=1e-6)


def test_a_floor_is_raised_only_where_counting_proves_it():
  number = 20000
  sample = np.arange(top_values._SAMPLE) * top_values._PRIME % number
  values = np.random.default_rng(0).random(number, np.float32)
  values[sample] += 10  # these alone are looked at before
  state = dataclasses.replace(
    top_values.start(1, 100 * 2000, QUANTILE),
    values=values.copy(),
    units=np.zeros(number, np.int64),
    num_kept=number,
  )
  state = top_values._prune(state)
  want = np.sort(values)[-state.needed :]
  np.testing.assert_array_equal(np.sort(state.values[: state.num_kept]), want)
  assert state.floor[0] == want[0]


def test_bins_keep_the_order_of_values():
  rng = np.random.default_rng(0)
  bits = rng.integers(0, 2**32, 20000, np.uint32).view(np.float32)
  values = np.sort(bits[np.isfinite(bits)])
  found = bins.bins_of(values)
  assert (np.diff(found) >= 0).all()
  assert (bins.edge(found) <= values).all()
  inside = (values < bins.edge(found + 1)) | (values == np.finfo(np.float32).max)
  assert inside.all()


def test_states_of_other_data_sets_do_not_merge():
  shape = LayerShape("a", 2, 2, 2)
  a, b = (
    thresholds.start(shape, num_images=n, quantile=QUANTILE) for n in (1000, 2000)
  )
  with pytest.raises(ValueError, match="different"):
    thresholds.merge(a, b)
  with pytest.raises(ValueError, match="between 0 and 1"):
    thresholds.start(shape, num_images=10, quantile=1.0)


@pytest.mark.parametrize("module", [bins, binned_thresholds])
def test_the_examples_of_the_docstrings(module):
  result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
  assert result.attempted >= 4 and not result.failed
