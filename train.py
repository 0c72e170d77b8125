"""Runs `milan-train` from a checkout."""

import sys

from milan_jax._src.commands.main import train

if __name__ == "__main__":
  sys.exit(train())
