"""`milan-catalog`: writes a catalog of runs or of folders of exemplars."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-catalog`."""
  return run("milan-catalog", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.catalog import CatalogOptions

  return CatalogOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.api.catalog_job import write_catalog

  return write_catalog
