"""A command as a user runs it, but in this process: imports and compiles once."""

import contextlib
import io
import subprocess
import sys

import jax

from milan_jax._src.commands import main as cli


def run_here(command: str, *arguments) -> subprocess.CompletedProcess:
  """Runs a command of `commands/main.py`; returns what a process would."""
  argv, precision = sys.argv, jax.config.jax_default_matmul_precision
  sys.argv = [command, *map(str, arguments)]
  out, error = io.StringIO(), io.StringIO()
  try:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
      code = getattr(cli, command)()
  finally:
    sys.argv = argv
    jax.config.update("jax_default_matmul_precision", precision)
  return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), error.getvalue())
