"""A command as a user runs it, but in this process: imports and compiles once."""

import contextlib
import io
import subprocess
import sys

from milan_jax._src.commands import main as cli


def run_here(command: str, *arguments) -> subprocess.CompletedProcess:
  """Runs a command of `commands/main.py`; returns what a process would."""
  argv = sys.argv
  sys.argv = [command, *map(str, arguments)]
  out, error = io.StringIO(), io.StringIO()
  try:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
      code = getattr(cli, command)()
  finally:
    sys.argv = argv
  return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), error.getvalue())
