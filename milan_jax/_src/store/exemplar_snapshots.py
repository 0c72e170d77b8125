"""Snapshots of an unfinished pass over the images."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import stats
from milan_jax._src.exemplars.shards import Progress
from milan_jax._src.files import atomic
from milan_jax._src.files.json_files import checksum_matches, with_checksum
from milan_jax._src.files.npy_files import read_npz
from milan_jax._src.images.source import Skipped


def save_progress(
  path: str | os.PathLike[str], progress: Progress, job: Mapping[str, Any]
) -> None:
  """Writes a pass's progress to an `.npz` file; replaces the file atomically.

  Args:
    path: the file.
    progress: the progress that `collect` passes to its `save`.
    job: everything that the result depends on (model, layers, images, k, batch size,
      ...), as JSON; only the same job can resume from this file.
  """
  about = {
    "job": dict(job),
    "done": progress.done,
    "layers": list(progress.states),
    "skipped": [[item.image_id, item.name, item.reason] for item in progress.skipped],
  }
  arrays = {"about": np.array(json.dumps(with_checksum(about)))}
  for index, state in enumerate(progress.states.values()):
    for name, array in stats.to_arrays(state).items():
      arrays[f"{index}.{name}"] = array
  atomic.write_npz(path, arrays)


def load_progress(
  path: str | os.PathLike[str], job: Mapping[str, Any]
) -> Progress | None:
  """Reads a pass's progress; returns None if there is no file.

  Raises:
    UserError: if the file belongs to another job or is corrupt.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return None
  try:
    arrays = read_npz(path)
    about = json.loads(str(arrays.pop("about")))
    found, done = about["job"], about["done"]
    if not (
      checksum_matches(about)
      and isinstance(found, dict)
      and type(done) is int
      and done >= 0
    ):
      raise ValueError("its metadata was changed")
    skipped = tuple(Skipped(*item) for item in about["skipped"])
    states = {
      layer: stats.from_arrays(
        {
          name.removeprefix(f"{index}."): array
          for name, array in arrays.items()
          if name.startswith(f"{index}.")
        }
      )
      for index, layer in enumerate(about["layers"])
    }
  except Exception as error:
    # The zip and npy readers raise many types of exceptions for a corrupt file.
    raise UserError(
      f"{path} is not a readable snapshot of a pass ({error}): remove it to start "
      "again."
    ) from error
  if found != json.loads(json.dumps(dict(job))):
    different = sorted(
      name for name in {*found, *job} if found.get(name) != job.get(name)
    )
    raise UserError(
      f"{path} is the snapshot of another job, with another "
      f"{', '.join(different)}: choose another working folder, or remove it."
    )
  return Progress(done=done, states=states, skipped=skipped)
