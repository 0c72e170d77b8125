"""`milan-score`: scores descriptions against annotations."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-score`."""
  return run("milan-score", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.experiments import ScoreOptions

  return ScoreOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.experiments.score_job import score_files

  return score_files
