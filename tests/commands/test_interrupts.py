"""Ctrl-C at any moment: exit code 130 and one line."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
  "moment",
  [
    # At the import of what handles it, of what reads the flags, and of what is large.
    *(
      "milan_jax._src.commands.interrupts",
      "ml_collections",
      "jax",
      "milan_jax._src.decoding.decoder",
    ),
    # Where whatever runs drops the interrupt, or makes something else of it.
    *("swallowed", "forever", "changed", "finalizer"),
    "workers",
  ],
)
def test_a_command_says_one_line(moment, tmp_path):
  found = subprocess.run(
    [sys.executable, "-m", "tests.helpers.interrupted", moment],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
    start_new_session=True,
  )
  assert found.returncode == 130, found.stderr
  assert found.stderr == "milan-describe: stopped; run the same command to resume.\n"
  assert found.stdout == ""
