"""`milan-generalize`: trains captioners on some networks, tests them on others."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-generalize`."""
  return run("milan-generalize", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.experiments import GeneralizeOptions

  return GeneralizeOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.experiments.generalize import generalize

  return generalize
