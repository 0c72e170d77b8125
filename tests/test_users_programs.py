"""What is exact in the programs of the tests is exact in those that users have."""

import os
import pathlib
import re
import subprocess
import sys

from tests import conftest

ROOT = pathlib.Path(conftest.__file__).parents[1]
# The encoder beside torch, the searches beside the original.
TESTS = (
  "models/test_backbones.py::test_activations_equal_torch[efficientnet-lite0]",
  "decoding/test_decoder.py::test_parity_with_the_original[greedy/mi=False]",
  "decoding/test_decoder.py::test_parity_with_the_original[rerank5]",
)


def test_parity_holds_in_optimized_programs():
  settings = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}
  command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider"]
  found = subprocess.run(
    [*command, *(f"tests/{name}" for name in TESTS)],
    cwd=ROOT,
    env=os.environ | settings,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stdout
  assert re.search(rf"\b{len(TESTS)} passed", found.stdout)
