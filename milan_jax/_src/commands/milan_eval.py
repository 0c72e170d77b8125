"""`milan-eval`: tests a captioner where the truth is known."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-eval`."""
  return run("milan-eval", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.lab import EvalOptions

  return EvalOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.lab.evaluation.evaluate import evaluate

  return evaluate
