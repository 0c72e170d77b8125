"""`milan-demo`: a local page to try a captioner on units and pictures."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-demo`."""
  return run("milan-demo", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.local_page import LocalPageOptions

  return LocalPageOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.app.server import serve

  return serve
