"""Killed eight times at any moment, a pass ends with the bytes of an unbroken one."""

import pathlib
import random
import signal
import subprocess
import sys

from milan_jax._src.store.exemplar_snapshots import load_progress
from tests.exemplars.killed_pass import BATCH_SIZE, JOB, NUM_IMAGES

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLS = 8


def job(folder, calls=0):
  command = [sys.executable, "-m", "tests.exemplars.killed_pass", folder, str(calls)]
  return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def test_eight_kills(tmp_path):
  whole = job(tmp_path / "whole")
  assert whole.returncode == 0
  # A moment is a number of calls: those of all attempts together would not do.
  most = int(whole.stdout) // KILLS
  moments = random.Random(0)
  folder, reached = tmp_path / "killed", [0]
  for _ in range(KILLS):
    assert job(folder, moments.randint(1, most)).returncode == -signal.SIGKILL
    progress = load_progress(folder / "progress.npz", JOB)
    reached.append(progress.done if progress else 0)
  # No kill undid anything, and some came in the middle of the work.
  assert reached == sorted(reached)
  assert len(set(reached)) > 3
  assert reached[-1] < NUM_IMAGES // BATCH_SIZE
  assert job(folder).returncode == 0
  assert contents(folder) == contents(tmp_path / "whole")
