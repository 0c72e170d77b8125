"""`milan-train`: trains a captioner."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any

  from milan_jax._src.options.train import TrainOptions


def main() -> int:
  """Runs `milan-train`."""
  return run("milan-train", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.train import TrainOptions

  return TrainOptions


def _load() -> Callable[..., Any]:
  def command(options: TrainOptions) -> None:
    if options.run.compile_only is None:
      from milan_jax._src.training.training_run import train

      train(options)
    else:
      from milan_jax._src.lab.benchmark.compile_training import compile_training

      print(compile_training(options, options.run.compile_only))

  return command
