"""Checkpoints of a training run: a wrapper around Orbax.

Saving is synchronous, because the next step donates the arrays of this one. A
checkpoint is complete once it exists; if a process is killed while saving, the previous
checkpoint remains the latest. Checksums of arrays and progress prevent a run from
resuming from a damaged checkpoint.
"""

import os
import pathlib
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from milan_jax._src.errors import UserError
from milan_jax._src.files.json_files import checksum_matches, with_checksum


class TrainingCheckpoints:
  """The latest checkpoints in a folder; a context manager."""

  def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2) -> None:
    """Opens the folder; creates it if missing.

    Args:
      folder: contains the checkpoints, each in a folder named by its step.
      keep: number of latest checkpoints to keep.
    """
    options = ocp.CheckpointManagerOptions(
      preservation_policy=ocp.checkpoint_managers.LatestN(keep),
      enable_async_checkpointing=False,
      create=True,
    )
    self._manager = ocp.CheckpointManager(
      pathlib.Path(folder).absolute(), options=options
    )

  def __enter__(self) -> "TrainingCheckpoints":
    return self

  def __exit__(self, *error: object) -> None:
    self._manager.close()

  def latest(self) -> int | None:
    """Returns the step of the latest complete checkpoint, or None."""
    step: int | None = self._manager.latest_step()
    return step

  def save(self, step: int, arrays: PyTree, progress: dict[str, Any]) -> None:
    """Saves arrays and a JSON value as the checkpoint of `step`."""
    kept = with_checksum({"progress": progress, "arrays": _checksum(arrays)})
    self._manager.save(
      step,
      args=ocp.args.Composite(
        arrays=ocp.args.StandardSave(arrays), progress=ocp.args.JsonSave(kept)
      ),
      force=True,
    )
    self._manager.wait_until_finished()

  def restore(self, step: int, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Reads the checkpoint of `step`.

    Args:
      step: a step returned by `latest`.
      like: arrays with the same structure, shapes, dtypes and sharding.

    Raises:
      UserError: if the checkpoint is damaged.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    try:
      restored = self._manager.restore(
        step,
        args=ocp.args.Composite(
          arrays=ocp.args.StandardRestore(abstract), progress=ocp.args.JsonRestore()
        ),
      )
      arrays, kept = restored.arrays, restored.progress
      if not checksum_matches(kept) or kept["arrays"] != _checksum(arrays):
        raise ValueError("it does not match its checksum")
      return arrays, kept["progress"]
    except Exception as error:  # Orbax and its dependencies raise many types
      words = (str(error).strip().splitlines() or [type(error).__name__])[0]
      raise UserError(
        f"{self._manager.directory / str(step)} is damaged ({words[:200]}): remove it, "
        "and the training resumes from the checkpoint before it."
      ) from error


def _checksum(arrays: PyTree) -> str:
  """Returns the CRC-32 of the values of all leaves, in order."""
  checksum = 0
  for leaf in jax.tree.leaves(arrays):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    values = np.ascontiguousarray(leaf).reshape(-1)
    checksum = zlib.crc32(values.view(np.uint8).data, checksum)
  return f"{checksum:08x}"
