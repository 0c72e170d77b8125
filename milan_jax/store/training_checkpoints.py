"""Checkpoints of a training run: one wrapper around Orbax.

Saving is synchronous: the arrays of a step are consumed by the next one, and a
checkpoint that is there is whole. A process killed while it saves leaves the checkpoint
before it as the latest.
"""

import os
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree


class TrainingCheckpoints:
  """The latest checkpoints in a folder; use it as a context manager."""

  def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2) -> None:
    """Opens the folder, which is made where it is missing.

    Args:
      folder: where the checkpoints lie, each in a folder named by its step.
      keep: number of checkpoints that stay when newer ones are saved.
    """
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep, enable_async_checkpointing=False, create=True
    )
    self._manager = ocp.CheckpointManager(
      pathlib.Path(folder).absolute(), options=options
    )

  def __enter__(self) -> "TrainingCheckpoints":
    return self

  def __exit__(self, *error: object) -> None:
    self._manager.close()

  def latest(self) -> int | None:
    """Returns the step of the newest whole checkpoint; None where there is none."""
    return self._manager.latest_step()

  def save(self, step: int, arrays: PyTree, progress: dict[str, Any]) -> None:
    """Saves arrays and a JSON value as the checkpoint of `step`."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        arrays=ocp.args.StandardSave(arrays), progress=ocp.args.JsonSave(progress)
      ),
      force=True,
    )
    self._manager.wait_until_finished()

  def restore(self, step: int, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Reads the checkpoint of `step`.

    Args:
      step: one that `latest` named.
      like: arrays of the same structure, shapes, types and placement.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        arrays=ocp.args.StandardRestore(abstract), progress=ocp.args.JsonRestore()
      ),
    )
    return restored.arrays, restored.progress
