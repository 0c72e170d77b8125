"""Runs `milan-describe` from a checkout."""

import sys

from milan_jax.cli import describe

if __name__ == "__main__":
  sys.exit(describe())
