"""`milan-convert`: converts an official checkpoint."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any

  from milan_jax._src.options.lab import ConvertOptions


def main() -> int:
  """Runs `milan-convert`."""
  return run("milan-convert", _options, _load, ("CHECKPOINT", "OUT_DIR"))


def _options() -> type[Any]:
  from milan_jax._src.options.lab import ConvertOptions

  return ConvertOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.store.official import convert

  def command(checkpoint: str, folder: str, options: ConvertOptions) -> None:
    del options  # it has none
    digest = convert(checkpoint, folder)
    print(f"{checkpoint}: sha256 {digest}")
    print(folder)

  return command
