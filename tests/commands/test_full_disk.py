"""A disk that fills up in the middle of a run, and is given room again."""

import pathlib
import subprocess
import sys

import pytest

from tests.helpers.commands import run_here

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def small_disk(tmp_path):
  """A file system of one megabyte, and how to give it more."""
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
  if subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip("mounting a small file system needs privileges that this user lacks")

  def grow():
    more = ["mount", "-o", "remount,size=400m", str(folder)]
    subprocess.run(more, check=True)

  yield folder, grow
  subprocess.run(["umount", "-l", str(folder)], check=True)


def test_nothing_is_lost(small_disk, captioner, photos, tmp_path):
  disk, grow = small_disk

  def flags(workdir):
    return (
      *("--model=tests.helpers.tiny_network:build", "--layers=0,2", "--k=4"),
      *(f"--images={photos}", f"--milan={captioner}", f"--workdir={workdir}"),
      *("--probe_batch_size=4", "--save_every=0", "--strategy=greedy"),
    )

  command = [sys.executable, str(ROOT / "describe.py"), *flags(disk / "run")]
  found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert found.returncode == 2, found.stderr
  assert "Traceback" not in found.stderr
  assert "No space left on device" in found.stderr.splitlines()[-1]
  assert "run the same command to resume" in found.stderr.splitlines()[-1]
  before = sorted(path.name for path in (disk / "run").iterdir())
  assert "config.json" in before and "descriptions.csv" not in before
  grow()
  assert run_here("describe", *flags(disk / "run")).returncode == 0
  assert run_here("describe", *flags(tmp_path / "whole")).returncode == 0
  for folder in ("exemplars", "features"):
    want = tmp_path / "whole" / folder
    for path in filter(pathlib.Path.is_file, want.rglob("*")):
      same = disk / "run" / folder / path.relative_to(want)
      assert same.read_bytes() == path.read_bytes(), path
  assert (disk / "run" / "descriptions.csv").exists()
