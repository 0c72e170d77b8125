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
  return subprocess.Popen([*command, str(folder), str(pause)], cwd=ROOT)


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def test_twenty_kills(tmp_path):
  began = time.monotonic()
  assert job(tmp_path / "whole", 0).wait(120) == 0
  # A process begins later on a busy machine.
  latest = max(2.6, 1.2 * (time.monotonic() - began))
  moments = random.Random(0)
  folder, reached = tmp_path / "killed", [0]
  for _ in range(20):
    process = job(folder, 0.2)
    # From before it has begun until it has done a part.
    time.sleep(moments.uniform(0.2, latest))
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL, "it ended before it was killed"
    progress = load_progress(folder / "progress.npz", JOB)
    reached.append(progress.done if progress else 0)
  # No kill undid anything, and some came in the middle of the work.
  assert reached == sorted(reached)
  assert len(set(reached)) > 3
  assert reached[-1] < NUM_IMAGES // BATCH_SIZE
  assert job(folder, 0).wait(120) == 0
  assert contents(folder) == contents(tmp_path / "whole")
