"""Two processes that a user starts on one run directory by mistake."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest

from milan_jax.config import Describe
from milan_jax.errors import UserError
from milan_jax.flags import parse
from milan_jax.pipeline import processes
from milan_jax.pipeline.describe import describe
from tests.pipeline.runs import contents
from tests.pipeline.together import ROOT


def test_one_works_and_the_other_says_so(
  captioner, photos, tmp_path, monkeypatch, capsys
):
  workdir, go = tmp_path / "new" / "run", tmp_path / "go"
  command = [
    *(sys.executable, str(ROOT / "describe.py"), f"--workdir={workdir}"),
    *("--model=tests.pipeline.waiting_network:build", "--layers=0", "--units=0:2"),
    *(f"--images={photos}", f"--milan={captioner}", "--strategy=greedy", "--k=4"),
    *("--length=2", "--workers=0", "--batch_size=2", "--nopage"),
  ]

  def start():
    return subprocess.Popen(
      command,
      cwd=ROOT,
      env=os.environ | {"MILAN_JAX_TEST_GO": str(go)},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )

  def refused(process):
    message = process.communicate()[1].strip()
    assert process.returncode == 2, message
    assert message.startswith("milan-describe: --workdir: ")
    assert "run is in use by another run (process " in message
    assert len(message.splitlines()) == 1

  # Together, in a folder that is not there yet: whoever works waits for `go`.
  processes = [start(), start()]
  try:
    while all(process.poll() is None for process in processes):
      time.sleep(0.02)
    processes.sort(key=lambda process: process.poll() is None)
    refused(processes[0])
    time.sleep(0.3)
    # And later on.
    processes.append(start())
    refused(processes[2])
    assert [path.name for path in workdir.iterdir()] == [".lock"]
    go.touch()
    message = processes[1].communicate()[1]
    assert processes[1].returncode == 0, message
  finally:
    for process in processes:
      process.kill()
  whole = contents(workdir)
  assert len(whole["descriptions.jsonl"].splitlines()) == 2
  assert ".lock" not in whole
  # Nothing was damaged: the run knows that it is finished.
  monkeypatch.setenv("MILAN_JAX_TEST_GO", str(go))
  options, _ = parse(Describe, command[1:])
  keywords = dataclasses.asdict(options)
  del keywords["list_layers"]
  describe(**keywords)
  assert "nothing was left to do" in capsys.readouterr().err
  assert contents(workdir) == whole


def test_the_others_of_a_refused_run_write_nothing(tmp_path, monkeypatch):
  """Of processes that work together, the first holds the folder for all."""
  monkeypatch.setattr(processes, "is_first", lambda: False)
  monkeypatch.setattr(processes, "told_by_first", lambda value: 0)
  with (
    pytest.raises(UserError, match=r"first process cannot use .*run, and says why"),
    processes.hold_together(str(tmp_path / "run")),
  ):
    pass
  assert not list(tmp_path.iterdir())
