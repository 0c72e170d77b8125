import multiprocessing
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import ArrayImages, open_array_images
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.loader import batches, default_workers
from milan_jax._src.images.source import ImageSource, Source, UnreadableImageError

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Numbers:
  """Latents: position 5 cannot be read, blank is -1, earlier ones take longer."""

  blank = np.full((2, 3), -1, np.float32)

  def __init__(self, number, log=None, failure=None):
    self.number, self.log, self.failure = number, log, failure

  def __len__(self):
    return self.number

  def name(self, index):
    return f"number {index}"

  def load(self, index):
    if self.log:
      with self.log.open("a") as file:
        file.write(f"{index} {os.getpid()}\n")
    time.sleep(0.002 if index % 3 == 0 else 0)
    if index == 5:
      raise UnreadableImageError("five")
    if index == 9 and self.failure:
      self.failure()
    return np.full((2, 3), index / 4, np.float32)


def check(batch, number, batch_size):
  """Compares a batch of `Numbers` with the expected one."""
  assert batch.start % batch_size == 0
  assert batch.stop == min(batch.start + batch_size, number)
  inputs = np.full((batch_size, 2, 3), -1, np.float32)
  rows = [row for row in range(batch.stop - batch.start) if batch.start + row != 5]
  for row in rows:
    inputs[row] = (batch.start + row) / 4
  np.testing.assert_array_equal(batch.inputs, inputs)
  assert batch.inputs.dtype == np.float32
  assert type(batch.inputs) is np.ndarray
  assert batch.inputs.flags.writeable
  assert batch.rows.dtype == batch.image_ids.dtype == np.int64
  assert batch.rows.tolist() == rows
  assert batch.image_ids.tolist() == [batch.start + row for row in rows]
  found = [(item.image_id, item.name, item.reason) for item in batch.skipped]
  has_five = batch.start <= 5 < batch.stop
  assert found == ([(5, "number 5", "five")] if has_five else [])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("number", [1, 6, 8, 21])
def test_threads_keep_the_order(threads, number):
  found = list(batches(Numbers(number), 4, threads=threads))
  assert [batch.start for batch in found] == list(range(0, number, 4))
  for batch in found:
    check(batch, number, 4)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_any_batches_with_any_workers(workers):
  batch_indices = range(4, -1, -2)
  found = list(batches(Numbers(18), 4, batch_indices=batch_indices, workers=workers))
  assert [batch.start for batch in found] == [16, 8, 0]
  for batch in found:
    check(batch, 18, 4)
  assert not multiprocessing.active_children()


def test_processes_that_share_a_source_see_all_of_it_once():
  number, ids = 23, []
  for process in range(3):
    batch_indices = range(process, 6, 3)
    for batch in batches(Numbers(number), 4, batch_indices=batch_indices):
      ids += batch.image_ids.tolist() + [item.image_id for item in batch.skipped]
  assert sorted(ids) == list(range(number))
  assert list(batches(Numbers(number), 4, batch_indices=range(6, 6))) == []


@pytest.mark.parametrize(
  "options",
  [
    {"batch_size": 0},
    {"batch_size": 4, "workers": -1},
    {"batch_size": 4, "threads": 0},
    {"batch_size": 4, "batch_indices": range(3)},
    {"batch_size": 4, "batch_indices": range(-1, 1)},
  ],
)
def test_numbers_out_of_range(options):
  with pytest.raises(ValueError, match=r"need|batches"):
    batches(Numbers(8), **options)


class OddError(Exception):
  """An error that cannot be unpickled."""

  def __init__(self, one, two):
    super().__init__(f"{one} and {two}")


def fail_oddly():
  raise OddError("this", "that")


def fail_for_the_user():
  raise UserError("fix it")


def die():
  os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 2])
def test_other_errors_reach_the_caller(workers):
  source = Numbers(40, failure=fail_oddly)
  with pytest.raises(RuntimeError, match="number 9: OddError: this and that") as error:
    list(batches(source, 4, workers=workers))
  assert any("fail_oddly" in note for note in error.value.__notes__)
  with pytest.raises(UserError, match="fix it"):
    list(batches(Numbers(40, failure=fail_for_the_user), 4, workers=workers))
  assert not multiprocessing.active_children()


def test_a_worker_that_dies():
  with pytest.raises(RuntimeError, match="terminated unexpectedly"):
    list(batches(Numbers(40, failure=die), 4, workers=1))
  assert not multiprocessing.active_children()


class Unlike(Numbers):
  def load(self, index):
    return np.zeros((2, 3))


def test_an_input_unlike_the_blank():
  with pytest.raises(UserError, match=r"number 0.*float32.*found float64"):
    list(batches(Unlike(4), 4))


class Large(Numbers):
  """Batches larger than a pipe's buffer."""

  blank = np.zeros((256, 256, 3), np.uint8)

  def load(self, index):
    super().load(index)
    return np.full((256, 256, 3), index % 256, np.uint8)


@pytest.mark.parametrize("taken", [1, 3])
def test_workers_end_when_the_iterator_is_closed(tmp_path, taken):
  source = Large(4000, log=tmp_path / "log")
  reading = batches(source, 4, workers=2)
  for start in range(0, 4 * taken, 4):
    batch = next(reading)
    assert batch.inputs[:, 0, 0, 0].tolist()[:1] == [start]
  before = time.perf_counter()
  reading.close()
  assert time.perf_counter() - before < 10
  assert not multiprocessing.active_children()
  loaded = source.log.read_text().splitlines()
  assert len({line.split()[1] for line in loaded} - {str(os.getpid())}) == 2
  # At most four batches ahead per worker.
  assert len(loaded) <= 4 * (taken + 2 * 5)


def test_threads_decode_one_batch_ahead(tmp_path):
  source = Numbers(4000, log=tmp_path / "log")
  reading = batches(source, 8, threads=2)
  next(reading)
  time.sleep(0.1)
  assert len(source.log.read_text().splitlines()) <= 16
  reading.close()


def test_an_error_of_the_consumer_ends_the_workers():
  def consume():
    for _ in batches(Large(4000), 4, workers=2):
      raise KeyError("mine")

  with pytest.raises(KeyError, match="mine"):
    consume()
  assert not multiprocessing.active_children()


# No `if __name__`, a class of the script, a lambda: these usually break processes.
SCRIPT = """
import os, pathlib, sys
import jax, numpy as np
from milan_jax._src.images.loader import batches
print("script")
class Mine:
  blank = np.zeros(3, np.int64)
  double = lambda self, index: 2 * index
  def __len__(self):
    return 400
  def name(self, index):
    return str(index)
  def load(self, index):
    return np.array([self.double(index), "jax" in sys.modules, os.getpid()])
for batch in batches(Mine(), 4, workers=2):
  print(*batch.inputs[-1], flush=True)
  if "wait" in sys.argv:
    input()
"""


def test_a_script_is_not_run_again_and_workers_have_no_jax(tmp_path):
  script = tmp_path / "script.py"
  script.write_text(SCRIPT)
  environment = {**os.environ, "PYTHONPATH": str(ROOT)}
  found = subprocess.run(
    [sys.executable, script],
    env=environment,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert (found.returncode, found.stderr) == (0, "")
  first, *lines = found.stdout.splitlines()
  values = np.array([line.split() for line in lines], np.int64)
  assert first == "script"
  np.testing.assert_array_equal(values[:, 0], 2 * np.arange(3, 400, 4))
  assert not values[:, 1].any()
  assert len(set(values[:, 2])) == 2


def test_no_worker_outlives_a_killed_parent(tmp_path):
  script = tmp_path / "script.py"
  script.write_text(SCRIPT)
  shared = pathlib.Path("/dev/shm")
  parent = subprocess.Popen(
    [sys.executable, script, "wait"],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  with parent:
    assert parent.stdout.readline() == "script\n"
    worker = parent.stdout.readline().split()[2]
    children = _children(parent.pid)
    assert worker in children
    shared_before = set(_open_shared(worker))
    parent.kill()
    parent.wait()
  deadline = time.monotonic() + 10
  while any(pathlib.Path(f"/proc/{child}").exists() for child in children):
    assert time.monotonic() < deadline, "a worker lives on"
    time.sleep(0.05)
  assert shared_before
  assert not [name for name in shared_before if (shared / name).exists()]


def _children(pid):
  tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
  return [child for task in tasks for child in task.read_text().split()]


def _open_shared(pid):
  for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
    if "/dev/shm/" in line and "(deleted)" not in line:
      yield line.split("/dev/shm/")[1]


def test_pictures_are_the_same_by_threads_and_by_workers(tmp_path):
  for index in range(7):
    value = 30 * index
    Image.new("RGB", (12, 9), (value, 0, value)).save(tmp_path / f"{index}.png")
  (tmp_path / "3.png").write_bytes(b"")
  source = FolderImages(tmp_path, Geometry(8, 8))
  assert isinstance(source, ImageSource)
  assert isinstance(source, Source)
  for workers in (0, 1):
    found = list(batches(source, 4, workers=workers))
    assert [batch.rows.tolist() for batch in found] == [[0, 1, 2], [0, 1, 2]]
    assert found[0].skipped[0].name == "3.png"
    values = np.concatenate([batch.inputs[:, 4, 4, 0] for batch in found])
    assert values.tolist() == [0, 30, 60, 0, 120, 150, 180, 0]


def test_sources_to_and_from_pickle(tmp_path):
  images = np.random.default_rng(0).integers(0, 256, (3000, 8, 8, 3), np.uint8)
  np.save(tmp_path / "images.npy", images)
  mapped = open_array_images(tmp_path / "images.npy", Geometry(None, 4))
  assert len(pickle.dumps(mapped)) < 1000
  for source in (mapped, ArrayImages(mapped._images[10:], Geometry(None, 4))):
    again = pickle.loads(pickle.dumps(source))
    assert len(again) == len(source)
    np.testing.assert_array_equal(again.load(5), source.load(5))
    np.testing.assert_array_equal(again.blank, np.zeros((4, 4, 3), np.uint8))


def test_how_many_workers_pay(monkeypatch):
  class Files(Numbers):
    decodes_files = True

  for cores, expected in [(1, 0), (2, 0), (4, 2), (12, 6), (64, 8)]:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
    assert default_workers(Files(100_000)) == expected
    assert default_workers(Files(999)) == 0
    assert default_workers(Numbers(100_000)) == 0
