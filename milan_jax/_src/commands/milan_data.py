"""`milan-data`: downloads, merges, counts, checks and exports annotated exemplars."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-data`."""
  return run("milan-data", _options, _load, positional=("ACTION",))


def _options() -> type[Any]:
  from milan_jax._src.options.data import AnnotatedDataOptions

  return AnnotatedDataOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.store.milannotations_job import run_action

  return run_action
