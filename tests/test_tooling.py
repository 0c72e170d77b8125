"""Format, lint and types are part of the one test command."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
  "command",
  [("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",)],
  ids=lambda command: " ".join(command),
)
def test_tool_is_content(command):
  found = subprocess.run(
    [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
  )
  assert found.returncode == 0, found.stdout + found.stderr


def test_ci_runs_the_command_of_the_readme():
  readme = (ROOT / "README.md").read_text()
  ci = (ROOT / ".ci" / "run").read_text().splitlines()
  assert ci[-1] in readme.splitlines()
