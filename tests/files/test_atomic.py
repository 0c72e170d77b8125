import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic


def names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
  (tmp_path / "descriptions.csv").mkdir()
  with pytest.raises(UserError, match=r"descriptions\.csv"):
    atomic.write_bytes(tmp_path / "descriptions.csv", b"new")
  assert names(tmp_path) == ["descriptions.csv"]


def test_a_file_appears_only_when_the_block_ends(tmp_path):
  path = tmp_path / "deep" / "a.npy"
  with atomic.atomic_path(path) as staging:
    assert staging.parent == path.parent and staging.suffix == ".npy"
    staging.write_bytes(b"new")
    assert not path.exists()
  assert path.read_bytes() == b"new"
  assert names(path.parent) == ["a.npy"]


def test_an_error_keeps_the_old_file_and_leaves_nothing_aside(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("old")
  with pytest.raises(KeyboardInterrupt), atomic.atomic_path(path) as staging:
    staging.write_text("half")
    raise KeyboardInterrupt
  assert path.read_text() == "old"
  assert names(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError), atomic.atomic_path(tmp_path / "a"):
    pass
  assert names(tmp_path) == []


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path):
  program = (
    "import os, signal, sys\n"
    "from milan_jax._src.files import atomic\n"
    "with atomic.atomic_path(sys.argv[1]) as staging:\n"
    "  staging.write_text('half')\n"
    "  os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  path = tmp_path / "a.txt"
  killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
  assert killed.returncode == -signal.SIGKILL
  assert not path.exists() and len(names(tmp_path)) == 1
  atomic.write_text(path, "whole\r\n")
  assert path.read_bytes() == b"whole\r\n"
  assert names(tmp_path) == ["a.txt"]


def test_json_is_sorted_and_the_same_bytes(tmp_path):
  path = tmp_path / "a.json"
  atomic.write_json(path, {"b": [1, 2.5], "a": "é"})
  assert path.read_text("utf-8") == (
    '{\n  "a": "é",\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
  )
  with pytest.raises(ValueError, match="Out of range"):
    atomic.write_json(path, {"a": float("nan")})
  assert json.loads(path.read_text("utf-8"))["a"] == "é"


def test_arrays_come_back_and_objects_are_refused(tmp_path):
  arrays = {"x": np.arange(6, dtype=np.float16).reshape(2, 3), "y": np.array(True)}
  for name in ("one.npz", "two.npz"):
    atomic.write_npz(tmp_path / name, arrays)
  with np.load(tmp_path / "one.npz") as stored:
    assert sorted(stored) == ["x", "y"]
    np.testing.assert_array_equal(stored["x"], arrays["x"])
    assert stored["x"].dtype == np.float16
  one, two = ((tmp_path / name).read_bytes() for name in ("one.npz", "two.npz"))
  assert one == two
  with pytest.raises(ValueError, match="allow_pickle"):
    atomic.write_npz(tmp_path / "one.npz", {"x": np.array([object()])})
  assert (tmp_path / "one.npz").read_bytes() == two
