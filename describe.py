"""Runs `milan-describe` from a checkout."""

import sys

from milan_jax._src.commands.main import describe

if __name__ == "__main__":
  sys.exit(describe())
