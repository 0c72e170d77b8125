"""Runs `milan-train` from a checkout."""

import sys

from milan_jax._src.commands.milan_train import main

if __name__ == "__main__":
  sys.exit(main())
