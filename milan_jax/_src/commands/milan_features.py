"""`milan-features`: computes features of annotated exemplars for training."""

from __future__ import annotations

from milan_jax._src.commands.main import run

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any


def main() -> int:
  """Runs `milan-features`."""
  return run("milan-features", _options, _load)


def _options() -> type[Any]:
  from milan_jax._src.options.train import FeaturesOptions

  return FeaturesOptions


def _load() -> Callable[..., Any]:
  from milan_jax._src.training.features_job import compute_features

  return compute_features
