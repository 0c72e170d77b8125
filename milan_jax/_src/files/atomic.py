"""Atomic writes: to a staging file, which is synced and then renamed.

The staging file's name follows from the final name (`.NAME.partial.SUFFIX`, in the same
folder). A restarted run therefore overwrites the staging files of a killed run, and the
folder ends up with the same files as after an uninterrupted run. For the same reason,
two processes must not write the same path at the same time.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.names import escaped


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields a path to write to, which becomes `path` when the block succeeds.

  The yielded path has the suffix of `path`, because `np.save` and others would add one
  otherwise. It is in the same folder, which is created if missing. If the block raises,
  the staging file is removed and `path` is unchanged.

  Raises:
    UserError: if `path` is a folder.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise UserError(f"{path} is a folder, but a file must be written there: remove it.")
  path.parent.mkdir(parents=True, exist_ok=True)
  staging = path.with_name(f".{path.stem}.partial{path.suffix}")
  staging.unlink(missing_ok=True)
  try:
    yield staging
    with staging.open("rb") as file:
      os.fsync(file.fileno())
    staging.replace(path)
  except BaseException:
    staging.unlink(missing_ok=True)
    raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
  """Writes `data` to `path`, replacing the file."""
  with atomic_path(path) as staging:
    staging.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """Writes `text` to `path` in UTF-8, replacing the file; keeps line ends."""
  write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
  """Writes `value` as JSON; the same value always gives the same bytes.

  Paths that are not valid UTF-8 are escaped, and read back unchanged.

  Raises:
    ValueError: if `value` holds NaN or an infinity, which JSON cannot represent.
  """
  text = json.dumps(
    value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False
  )
  write_text(path, escaped(text) + "\n")


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
  """Writes named arrays to an uncompressed `.npz` file without pickles.

  NumPy writes constant time stamps, so the same arrays give the same bytes.
  """
  with atomic_path(path) as staging, staging.open("wb") as file:
    np.savez(file, allow_pickle=False, **arrays)
