"""Measures decoding, as the installed command `milan-bench` does.

python benchmarks/bench_decode.py --json decode.json --plot decode.png
"""

import sys

from milan_jax._src.commands.milan_bench import main

if __name__ == "__main__":
  sys.exit(main())
