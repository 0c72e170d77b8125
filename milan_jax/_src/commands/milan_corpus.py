"""`milan-corpus`: builds the corpus of the captioner that ships."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-corpus`."""
  return run("milan-corpus", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.lab import CorpusOptions

  return CorpusOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.lab.corpus.corpus_job import build

  return build
