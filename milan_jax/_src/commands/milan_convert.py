"""`milan-convert`: converts an official checkpoint to a release, or back."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any

  from milan_jax._src.options.lab import ConvertOptions


def main() -> int:
  """Runs `milan-convert`."""
  return run("milan-convert", _options, _load, ("FROM", "TO"))


def _options() -> type[Any]:
  from milan_jax._src.options.lab import ConvertOptions

  return ConvertOptions


def _load() -> Callable[..., Any]:
  def command(source: str, target: str, options: ConvertOptions) -> None:
    from milan_jax._src.options.fields import require_local

    require_local("TO", target)
    if options.official:
      from milan_jax._src.store.official_writer import save_official
      from milan_jax._src.store.pretrained import load_milan

      written = save_official(load_milan(source), target)
      if written.left_out:
        print(f"left out, as the original lacks it: {', '.join(written.left_out)}")
      print(f"{target}: sha256 {written.sha256}")
      return
    from milan_jax._src.store.official import convert

    require_local("FROM", source)

    print(f"{source}: sha256 {convert(source, target)}")
    print(target)

  return command
