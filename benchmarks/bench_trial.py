"""What the trial of a network adds to a run of `milan-describe`.

    python benchmarks/bench_trial.py --model zoo:vit --images FOLDER --workdir out

takes all of the command's flags, runs it, and prints how much of its time went into the
trial of the chosen layers and into settling the places of tokens before it.
"""

import functools
import sys
import time
from typing import Any

from milan_jax._src.commands import main as cli
from milan_jax._src.probe import probe_target as subject
from milan_jax._src.probe import torch_layers

# The module that calls it, and the name there.
PARTS = {
  "trial": (subject, "try_layers"),
  "tokens": (torch_layers, "determine_layouts"),
}


def timed(seconds: dict[str, float], part: str, function: Any) -> Any:
  """The function, whose calls are added up."""

  @functools.wraps(function)
  def run(*args: Any, **keywords: Any) -> Any:
    began = time.perf_counter()
    try:
      return function(*args, **keywords)
    finally:
      seconds[part] += time.perf_counter() - began

  return run


def main() -> int:
  seconds = dict.fromkeys(PARTS, 0.0)
  for part, (module, name) in PARTS.items():
    setattr(module, name, timed(seconds, part, getattr(module, name)))
  began = time.perf_counter()
  code = cli.describe()
  total = time.perf_counter() - began
  for part, spent in seconds.items():
    print(f"{part}: {spent:.2f} s, {spent / total:.1%} of the run")
  print(f"whole run: {total:.1f} s")
  return code


if __name__ == "__main__":
  sys.exit(main())
