"""Two processes that a user starts on one run directory by mistake."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.runs import processes
from tests.helpers.runs import contents, run
from tests.helpers.together import ROOT


def test_one_works_and_the_other_says_so(captioner, tmp_path, monkeypatch, capsys):
  workdir, go = tmp_path / "new" / "run", tmp_path / "go"
  images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
  np.save(tmp_path / "images.npy", images)
  options = {
    "model": "tests.helpers.waiting_network:build",
    "layers": "0",
    "units": "0:2",
    "image_size": "32",
    "images": str(tmp_path / "images.npy"),
    "milan": str(captioner),
    "strategy": "greedy",
    "k": 3,
    "length": 2,
    "batch_size": 2,
    "workers": 0,
    "page": False,
  }
  monkeypatch.setenv("MILAN_JAX_TEST_GO", str(go))
  # Together, in a folder that is not there yet: whoever works waits for `go`.
  command = [sys.executable, str(ROOT / "describe.py"), f"--workdir={workdir}"]
  command += [f"--{name}={value}" for name, value in options.items()]
  processes = [
    subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for _ in range(2)
  ]
  try:
    while all(process.poll() is None for process in processes):
      time.sleep(0.02)
    processes.sort(key=lambda process: process.poll() is None)
    message = processes[0].communicate()[1].strip()
    assert processes[0].returncode == 2, message
    assert message.startswith("milan-describe: --workdir: ")
    at_work = f"in use by another run (process {processes[1].pid} on "
    assert at_work in message and len(message.splitlines()) == 1
    # And later on.
    time.sleep(0.3)
    with pytest.raises(UserError, match=re.escape(at_work)):
      run(workdir, **options)
    assert [path.name for path in workdir.iterdir()] == [".lock"]
    go.touch()
    message = processes[1].communicate()[1]
    assert processes[1].returncode == 0, message
  finally:
    for process in processes:
      process.kill()
      process.wait()
      process.stderr.close()
  whole = contents(workdir)
  assert len(whole["descriptions.jsonl"].splitlines()) == 2
  assert ".lock" not in whole
  # Nothing was damaged: the run knows that it is finished.
  run(workdir, **options)
  assert "nothing is left to do" in capsys.readouterr().err
  assert contents(workdir) == whole


def test_the_others_of_a_refused_run_write_nothing(tmp_path, monkeypatch):
  """Of processes that work together, the first holds the folder for all."""
  monkeypatch.setattr(processes, "is_primary", lambda: False)
  monkeypatch.setattr(processes, "broadcast_from_primary", lambda value: 0)
  with (
    pytest.raises(UserError, match=r"first process cannot use .*run; see its message"),
    processes.hold_together(str(tmp_path / "run")),
  ):
    pass
  assert not list(tmp_path.iterdir())


def test_each_process_of_a_run_keeps_its_like_out(tmp_path, monkeypatch):
  """The others of a run whose first process was killed may still be at work."""
  monkeypatch.setattr(processes, "is_primary", lambda: False)
  monkeypatch.setattr(processes, "broadcast_from_primary", lambda value: 1)
  monkeypatch.setattr(processes.jax, "process_index", lambda: 1)
  workdir = str(tmp_path / "run")
  with (
    processes.hold_together(workdir),
    pytest.raises(UserError, match="in use by another run"),
    processes.hold_together(workdir),
  ):
    pass
