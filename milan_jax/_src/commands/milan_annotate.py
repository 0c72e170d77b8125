"""`milan-annotate`: contact sheets for annotators, and their answers."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-annotate`."""
  return run("milan-annotate", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.annotate import AnnotateOptions

  return AnnotateOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.annotation.annotation_job import annotate

  return annotate
