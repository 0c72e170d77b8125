"""`milan-describe`: describes the units of a network, or of exemplars."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any

  from milan_jax._src.options.describe import DescribeOptions


def main() -> int:
  """Runs `milan-describe`."""
  return run("milan-describe", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.describe import DescribeOptions

  return DescribeOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.api.describe_run import describe
  from milan_jax._src.api.runs import write_strip
  from milan_jax._src.probe.probe_target import list_layers

  def command(options: DescribeOptions) -> None:
    if options.run.list_layers:
      print(list_layers(options.model, options.images))
    elif options.run.show is not None:
      print(write_strip(options.run.workdir, options.run.show))
    else:
      describe(options)

  return command
