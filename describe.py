"""Runs `milan-describe` from a checkout."""

import sys

from milan_jax._src.commands.milan_describe import main

if __name__ == "__main__":
  sys.exit(main())
