"""Metrics of a training run for TensorBoard, written by tensorboardX."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from milan_jax._src.errors import UserError

# The split that a group of an epoch's metrics is of.
_SPLITS = ("training", "validation")
_SPEEDS = ("captions_per_second", "step_seconds", "flops_per_second", "mfu")


def check_installed() -> None:
  """Checks that tensorboardX can be imported.

  Raises:
    UserError: if it is not installed.
  """
  try:
    import tensorboardX  # noqa: F401
  except ImportError as error:
    raise UserError(
      f"--tensorboard needs tensorboardX ({error}): install "
      "'milan-jax[tensorboard]', or leave the option out."
    ) from error


def scalars(epoch: Mapping[str, Any]) -> dict[str, float]:
  """Returns the numbers of a line of `metrics.jsonl`, by their name in TensorBoard."""
  found = {
    f"{split}/{name}": value
    for split in _SPLITS
    for name, value in epoch[split].items()
  }
  speeds = {f"speed/{name}": epoch.get(name) for name in _SPEEDS}
  return found | {name: value for name, value in speeds.items() if value is not None}


class Board:
  """Writes a model's epochs as events; a context manager."""

  def __init__(self, folder: pathlib.Path | None) -> None:
    """Opens the folder; epochs that an earlier process wrote there are replaced.

    Args:
      folder: contains the events of one model; None to write nothing.
    """
    self._writer: Any = None
    self._number = 0
    if folder is not None:
      import tensorboardX

      self._writer = tensorboardX.SummaryWriter(str(folder), purge_step=0)

  def __enter__(self) -> "Board":
    return self

  def __exit__(self, *error: object) -> None:
    if self._writer is not None:
      self._writer.close()

  def write(self, epochs: Sequence[Mapping[str, Any]]) -> None:
    """Writes the epochs that are new.

    Args:
      epochs: the lines of `metrics.jsonl` of all epochs so far.
    """
    if self._writer is None:
      return
    for epoch in epochs[self._number :]:
      for name, value in scalars(epoch).items():
        self._writer.add_scalar(name, value, epoch["epoch"])
    self._number = len(epochs)
    self._writer.flush()
