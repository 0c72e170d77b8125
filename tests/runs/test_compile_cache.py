"""Compiled programs are kept between processes, unless the user says otherwise."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
import jax, jax.numpy as jnp
from milan_jax._src.runs import compile_cache
compile_cache.MIN_SECONDS = 0.0
compile_cache.use_compile_cache()
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((9, 9))).block_until_ready()
"""


def _run(**environment):
  inherited = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("JAX_COMPILATION", "JAX_PERSISTENT"))
  }
  subprocess.run(
    [sys.executable, "-c", SCRIPT], cwd=ROOT, env=inherited | environment, check=True
  )


def _entries(folder):
  return {path.relative_to(folder) for path in folder.rglob("*-cache")}


def test_a_second_process_compiles_nothing_new(tmp_path):
  _run(MILAN_JAX_CACHE=str(tmp_path))
  first = _entries(tmp_path)
  assert first and all(path.parts[0] == "compiled" for path in first)
  _run(MILAN_JAX_CACHE=str(tmp_path))
  assert _entries(tmp_path) == first


@pytest.mark.parametrize(
  "variable", ["JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"]
)
def test_the_user_decides(tmp_path, variable):
  value = str(tmp_path / "own") if variable.endswith("DIR") else "false"
  _run(**{"MILAN_JAX_CACHE": str(tmp_path / "ours"), variable: value})
  assert not _entries(tmp_path / "ours")
