"""Folders that one process at a time works in."""

import errno
import fcntl
import os
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus import corpus_job as corpus
from milan_jax._src.options.lab import CorpusOptions
from milan_jax._src.runs import locks as holds
from milan_jax._src.runs.locks import LOCK, hold

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Holds a folder until its input ends, and is killed or not.
HOLDER = """
import sys
from milan_jax._src.runs.locks import hold
with hold(sys.argv[1]):
  print("held", flush=True)
  sys.stdin.read()
"""


def _names(folder):
  return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_is_held_once_and_leaves_no_trace(tmp_path):
  run = tmp_path / "a" / "run"
  with hold(run) as folder:
    assert folder == run and run.is_dir()
    mine = rf"run is in use.*process {os.getpid()} on"
    with pytest.raises(UserError, match=mine), hold(run):
      pass
    with hold(tmp_path / "a" / "other"):
      pass  # another folder is nobody's
  # Nothing was put into it.
  assert _names(tmp_path) == []
  with hold(run):
    (run / "result").write_text("x")
  assert _names(tmp_path) == ["a", "a/run", "a/run/result"]


def test_an_error_inside_gives_it_back(tmp_path):
  with pytest.raises(ValueError, match="mine"), hold(tmp_path / "run"):
    raise ValueError("mine")
  assert _names(tmp_path) == []
  (tmp_path / "empty").mkdir()  # a folder of the user's own stays
  with hold(tmp_path / "empty"):
    pass
  assert _names(tmp_path) == ["empty"]


def test_it_ends_with_its_process(tmp_path):
  run = tmp_path / "run"
  process = subprocess.Popen(
    [sys.executable, "-c", HOLDER, str(run)],
    cwd=ROOT,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"held\n"
  with pytest.raises(UserError, match=f"process {process.pid} on"), hold(run):
    pass
  process.kill()
  process.communicate()
  assert (run / LOCK).exists()  # which keeps nobody out
  with hold(run):
    assert (run / LOCK).read_text().startswith(f"{os.getpid()} ")
  assert not (run / LOCK).exists()


def test_who_waited_for_a_removed_lock_makes_another(tmp_path, monkeypatch):
  """Between opening the file and locking it, its holder may end and remove it."""
  real = fcntl.flock

  def late(file, how):
    monkeypatch.setattr(fcntl, "flock", real)
    (tmp_path / "run" / LOCK).unlink()
    real(file, how)

  monkeypatch.setattr(fcntl, "flock", late)
  with hold(tmp_path / "run"), pytest.raises(UserError), hold(tmp_path / "run"):
    pass


def test_beside_a_folder_that_appears_whole(tmp_path):
  whole = tmp_path / "corpus"
  with hold(whole, beside=True):
    assert not whole.exists()
    with pytest.raises(UserError, match="in use"), hold(whole, beside=True):
      pass
    whole.mkdir()
  assert _names(tmp_path) == ["corpus"]


@pytest.mark.parametrize("place", ["file", "file/x", "file/x/y"])
def test_a_file_in_the_way(tmp_path, place):
  (tmp_path / "file").write_text("mine")
  with (
    pytest.raises(UserError, match=r"workdir: .*file is a file.*a new name"),
    hold(tmp_path / place),
  ):
    pass
  assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("place", ["/proc/run", "x" * 300, "/sys/kernel/run"])
def test_a_place_that_cannot_be_written_to(tmp_path, place):
  with (
    pytest.raises(UserError, match=r"cannot be written to.*name another folder"),
    hold(tmp_path / place),
  ):
    pass


def test_two_names_are_two_locks(tmp_path):
  with hold(tmp_path / "run"), hold(tmp_path / "run", name=".lock-1"):
    with pytest.raises(UserError, match="in use"), hold(tmp_path / "run"):
      pass
    with (
      pytest.raises(UserError, match="in use"),
      hold(tmp_path / "run", name=".lock-1"),
    ):
      pass
  assert _names(tmp_path) == []


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
  def flock(file, how):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", flock)
  with hold(tmp_path / "run"):
    pass


def test_a_corpus_is_built_by_one_process(tmp_path):
  Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
  out = tmp_path / "corpus"
  with hold(out, beside=True), pytest.raises(UserError, match="in use"):
    options = {"workdir": str(out), "images": str(tmp_path), "packages": "none"}
    corpus.build(CorpusOptions.of(**options, num_units=1))


def test_who_has_just_taken_a_folder_is_waited_for(tmp_path, monkeypatch):
  lock = tmp_path / LOCK
  lock.touch()
  monkeypatch.setattr(holds.time, "sleep", lambda _: lock.write_text("12 on there"))
  with lock.open("r+") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    expected = r"another run \(process 12 on there\): wait"
    with pytest.raises(UserError, match=expected), hold(tmp_path):
      pass
