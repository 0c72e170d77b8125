"""Twenty times killed at any moment, a pass ends with the bytes of an unbroken one."""

import pathlib
import random
import signal
import subprocess
import sys
import time

from milan_jax.store.exemplar_snapshots import load_progress
from tests.exemplars.killed_pass import BATCH_SIZE, JOB, NUM_IMAGES

ROOT = pathlib.Path(__file__).resolve().parents[2]


def job(folder, pause):
  command = [sys.executable, "-m", "tests.exemplars.killed_pass"]
  return subprocess.Popen(
    [*command, str(folder), str(pause)], cwd=ROOT, stdout=subprocess.PIPE, text=True
  )


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def finish(folder):
  with job(folder, 0) as process:
    assert process.wait(120) == 0


def test_twenty_kills(tmp_path):
  finish(tmp_path / "whole")
  moments = random.Random(0)
  folder, reached = tmp_path / "killed", [0]
  for kill in range(20):
    with job(folder, 0.05) as process:
      # By turns before it is at work and in the middle of it, however busy the machine.
      if kill % 2:
        assert process.stdout.readline() == "at work\n"
      time.sleep(moments.uniform(0.0, 0.8))
      process.send_signal(signal.SIGKILL)
      assert process.wait(60) == -signal.SIGKILL, "it ended before it was killed"
    progress = load_progress(folder / "progress.npz", JOB)
    reached.append(progress.done if progress else 0)
  # No kill undid anything, and some came in the middle of the work.
  assert reached == sorted(reached)
  assert len(set(reached)) > 3
  assert reached[-1] < NUM_IMAGES // BATCH_SIZE
  finish(folder)
  assert contents(folder) == contents(tmp_path / "whole")
