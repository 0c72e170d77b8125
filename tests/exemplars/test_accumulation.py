import dataclasses

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import stats, thresholds
from milan_jax._src.exemplars.accumulation import (
  CollectHooks,
  CollectOptions,
  accumulate,
  collect,
)
from milan_jax._src.exemplars.shards import Shard, finish, merge
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.store.exemplar_snapshots import load_progress, save_progress
from tests.exemplars import tiny

LAYERS = ("layer3", "conv1", "fc")


class Holes(ArrayImages):
  """Some images cannot be read."""

  def __init__(self, images, holes):
    super().__init__(images)
    self._holes = holes

  def load(self, index):
    if index in self._holes:
      raise UnreadableImageError("a hole")
    return super().load(index)


@pytest.fixture(scope="module")
def probe():
  return tiny.probe(32)


def run(probe, source=None, *, units=None, resume=None, hooks=None, **options):
  source = source or ArrayImages(tiny.images())
  options = CollectOptions(**{"k": 3, "batch_size": 8} | options)
  return collect(
    probe, source, LAYERS, options, units=units, resume=resume, hooks=hooks
  )


def equal(a, b):
  assert tuple(a.layers) == tuple(b.layers)
  for name, found in a.layers.items():
    for field in dataclasses.fields(found):
      ours, theirs = (getattr(each, field.name) for each in (found, b.layers[name]))
      assert (ours is None) == (theirs is None), f"{name}: {field.name}"
      if ours is not None:
        assert ours.tobytes() == theirs.tobytes(), f"{name}: {field.name}"
  assert a.skipped == b.skipped


def test_one_pass_finds_what_numpy_finds(probe):
  images = tiny.images()
  found = run(probe)
  whole = probe.activations(images, LAYERS)
  assert tuple(found.layers) == LAYERS
  for name in LAYERS:
    maxima = whole[name].max(axis=(1, 2))
    order = np.argsort(-maxima, axis=0, kind="stable")[:3].T
    ours = found.layers[name]
    np.testing.assert_allclose(
      ours.activations, np.take_along_axis(maxima.T, order, 1), rtol=1e-5, atol=1e-5
    )
    flat = whole[name].reshape(-1, maxima.shape[1]).astype(np.float64)
    exact = np.quantile(flat, 0.99, axis=0, method="hazen")
    np.testing.assert_allclose(ours.thresholds, exact, rtol=2**-8, atol=1e-6)
    assert not ours.dead[maxima.min(axis=0) < maxima.max(axis=0)].any()


def test_threads_do_not_matter(probe):
  equal(run(probe, threads=1), run(probe, threads=4))


def test_a_resumed_pass_gives_the_same_bytes(probe, tmp_path):
  source = Holes(tiny.images(), {2, 20})
  whole = run(probe, source)
  path, job = tmp_path / "progress.npz", {"model": "tiny", "k": 3}
  for stop in range(2, 6):

    class BrokenOffError(Exception):
      pass

    calls = 0

    def save(progress, stop=stop, error=BrokenOffError):
      nonlocal calls
      calls += 1
      save_progress(path, progress, job)
      if calls == stop:
        raise error

    with pytest.raises(BrokenOffError):
      run(probe, source, hooks=CollectHooks(save, save_every=0.0))
    resumed = load_progress(path, job)
    assert resumed.done == stop - 1  # the batch under way is not in it
    equal(run(probe, source, resume=resumed), whole)


@pytest.fixture
def small_capacity(monkeypatch):
  """Most layers have more values than are kept: they are counted in bins."""
  monkeypatch.setattr(thresholds, "CAPACITY", 200)


def test_a_resumed_pass_whose_values_are_counted(probe, tmp_path, small_capacity):
  whole = run(probe)
  path = tmp_path / "progress.npz"

  def save(progress):
    save_progress(path, progress, {})

  class Broken(Holes):
    def load(self, index):
      if index == 30:
        raise UserError("a broken disk")
      return super().load(index)

  with pytest.raises(UserError, match="a broken disk"):
    run(probe, Broken(tiny.images(), set()), hooks=CollectHooks(save))
  progress = load_progress(path, {})
  assert progress.done == 3
  assert progress.states["conv1"].thresholds.stride > 1
  equal(run(probe, resume=progress), whole)


def test_shards_from_disk_merge_beyond_capacity(probe, tmp_path, small_capacity):
  whole = run(probe, batch_size=4)
  parts = []
  for index in range(2):
    path = tmp_path / f"{index}.npz"
    source = ArrayImages(tiny.images())
    options = CollectOptions(k=3, batch_size=4)
    progress = accumulate(probe, source, LAYERS, options, shard=Shard(index, 2))
    save_progress(path, progress, {})
    # In files, thresholds are called levels.
    assert "0.levels.binned.counted.most" in np.load(path).files
    parts.append(load_progress(path, {}))
  layers = finish(merge(parts), k=3, num_images=40)
  equal(dataclasses.replace(whole, layers=layers), whole)


def test_progress_is_of_one_job(probe, tmp_path):
  path = tmp_path / "progress.npz"
  assert load_progress(path, {}) is None
  saves = []

  def save(progress):
    saves.append(save_progress(path, progress, {"k": 3}))

  run(probe, hooks=CollectHooks(save, save_every=0.0))
  assert len(saves) == 5
  with pytest.raises(UserError, match="another k"):
    load_progress(path, {"k": 4})
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(UserError, match="not a readable snapshot"):
    load_progress(path, {"k": 3})


def test_unreadable_images_are_reported_and_keep_their_positions(probe):
  images = tiny.images()
  whole = run(probe, ArrayImages(images))
  best = int(whole.layers["conv1"].image_ids[0, 0])
  found = run(probe, Holes(images, {best}))
  assert [(item.image_id, item.reason) for item in found.skipped] == [(best, "a hole")]
  ids = found.layers["conv1"].image_ids
  assert best not in ids
  np.testing.assert_array_equal(ids[0, :2], whole.layers["conv1"].image_ids[0, 1:])


def test_a_whole_batch_of_holes(probe):
  found = run(probe, Holes(tiny.images(), set(range(8, 16))))
  assert len(found.skipped) == 8


class Failing:
  """A probe that fails on its third batch, until it is mended."""

  def __init__(self, probe):
    self._probe, self.calls, self.mended = probe, 0, False
    self.layers, self.image_size = probe.layers, probe.image_size
    self.num_devices = 1

  def activations(self, inputs, layers):
    self.calls += 1
    if self.calls == 3 and not self.mended:
      raise RuntimeError("out of patience")
    return self._probe.activations(inputs, layers)


def test_a_model_that_fails_loses_nothing(probe, tmp_path):
  failing, path = Failing(probe), tmp_path / "progress.npz"

  def save(progress):
    save_progress(path, progress, {})

  with pytest.raises(UserError, match=r"images 16 to 23: .*out of patience.*line \d+"):
    run(failing, hooks=CollectHooks(save))
  progress = load_progress(path, {})
  assert progress.done == 2
  failing.mended = True
  equal(run(failing, resume=progress), run(probe))
  # Two batches, the one that failed, and three more: nothing was done again.
  assert failing.calls == 3 + 3


def test_statistics_that_fail_raise_their_own_error(probe, monkeypatch):
  update, seen, saved = stats.update, [], []

  def fails_at_last(state, image_ids, *rest):
    seen.append(image_ids[0])
    if image_ids[0] >= 16:
      raise MemoryError("no memory for the maps")
    return update(state, image_ids, *rest)

  monkeypatch.setattr(stats, "update", fails_at_last)
  hooks = CollectHooks(save=saved.append, save_every=1e9)
  with pytest.raises(MemoryError, match="no memory for the maps"):
    run(probe, hooks=hooks)
  assert 8 in seen
  assert not saved  # some layers' states are a batch ahead of others


def test_only_the_chosen_units(probe):
  whole = run(probe)
  units = {"layer3": np.array([1, 7, 19]), "conv1": np.array([7, *range(7)])}
  found = run(probe, units=units)
  for name, chosen in (units | {"fc": np.arange(10)}).items():
    for field in dataclasses.fields(found.layers[name]):
      ours, theirs = (getattr(x.layers[name], field.name) for x in (found, whole))
      if theirs is not None:
        np.testing.assert_array_equal(ours, theirs[chosen])


@pytest.mark.parametrize("count", [2, 3])
def test_parts_merge_to_the_bytes_of_one_pass(probe, count):
  source = Holes(tiny.images(), {2, 20, 21, 39})
  whole = run(probe, source, batch_size=4)
  options = CollectOptions(k=3, batch_size=4)
  parts = [
    accumulate(probe, source, LAYERS, options, shard=Shard(index, count))
    for index in range(count)
  ]
  merged = merge(reversed(parts))
  assert merged.done == 10
  layers = finish(merged, k=3, num_images=40)
  equal(dataclasses.replace(whole, layers=layers, skipped=merged.skipped), whole)


class Pair:
  """A probe that runs its batches two at a time, as over two devices."""

  num_devices = 2

  def __init__(self, probe):
    self._probe = probe
    self.layers, self.image_size = probe.layers, probe.image_size

  def activations(self, inputs, layers):
    halves = [self._probe.activations(half, layers) for half in np.split(inputs, 2)]
    return {name: np.concatenate([half[name] for half in halves]) for name in layers}


@pytest.mark.parametrize("batch_size", [3, 8])
def test_devices_do_not_matter(probe, batch_size):
  source = Holes(tiny.images(), {0, 9, 20, 21, 38, 39})
  equal(
    run(Pair(probe), source, batch_size=batch_size),
    run(probe, source, batch_size=batch_size),
  )


def test_too_few_images(probe):
  with pytest.raises(UserError, match="at least 41 images, and there are 40"):
    run(probe, k=41)
  with pytest.raises(UserError, match="None of the 40 images can be read"):
    run(probe, Holes(tiny.images(), set(range(40))))
  with pytest.raises(UserError, match="Only 2 of 40"):
    run(probe, Holes(tiny.images(), set(range(38))))


def test_an_unknown_layer(probe):
  with pytest.raises(UserError, match="no layer none"):
    collect(probe, ArrayImages(tiny.images()), ["none"], CollectOptions(k=3))


def test_the_tail_is_not_counted(probe):
  # 40 images in batches of 16: the last has 8 blank images, which must not show.
  equal_ids = run(probe, batch_size=16)
  assert max(f.image_ids.max() for f in equal_ids.layers.values()) < 40


def test_reports_progress_and_times(probe):
  reports = []
  hooks = CollectHooks(report=lambda *values: reports.append(values))
  found = run(probe, hooks=hooks)
  assert [report[:2] for report in reports] == [(n, 40) for n in (8, 16, 24, 32, 40)]
  assert all(rate > 0 for *_, rate in reports)
  times = dataclasses.asdict(found.times)
  assert times.pop("writing") == 0
  assert all(seconds > 0 for seconds in times.values())


@pytest.mark.parametrize("groups", [[0, 1], [-1] * 40, [0.5] * 40])
def test_groups_that_do_not_fit_the_images_are_named(probe, groups):
  class Grouped(ArrayImages):
    def groups(self):
      return np.array(groups)

  images = np.zeros((40, 64, 64, 3), np.uint8)
  with pytest.raises(UserError, match=r"Grouped\.groups\(\): expected a whole number"):
    run(probe, Grouped(images))


def test_groups_that_are_an_attribute_are_named(probe):
  class Grouped(ArrayImages):
    groups = np.arange(40)

  images = np.zeros((40, 64, 64, 3), np.uint8)
  with pytest.raises(UserError, match=r"Grouped\.groups: expected a method"):
    run(probe, Grouped(images))
