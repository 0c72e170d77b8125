"""`milan-sweep`: describes with many settings, and scores each."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-sweep`."""
  return run("milan-sweep", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.experiments import SweepOptions

  return SweepOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.experiments.sweep import sweep

  return sweep
