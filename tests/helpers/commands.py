"""A command as a user runs it, but in this process: imports and compiles once."""

import contextlib
import importlib
import io
import subprocess
import sys


def run_here(command: str, *arguments) -> subprocess.CompletedProcess:
  """Runs `milan-COMMAND`; returns what a process would."""
  module = importlib.import_module(f"milan_jax._src.commands.milan_{command}")
  argv = sys.argv
  sys.argv = [command, *map(str, arguments)]
  out, error = io.StringIO(), io.StringIO()
  try:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
      code = module.main()
  finally:
    sys.argv = argv
  return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), error.getvalue())
