"""Measures decoding, as the installed command `milan-bench` does.

python benchmarks/bench_decode.py --json decode.json --plot decode.png
"""

import sys

from milan_jax._src.commands.main import bench

if __name__ == "__main__":
  sys.exit(bench())
