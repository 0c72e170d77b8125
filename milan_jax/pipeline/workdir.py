"""Run directories: one folder per run, with the configuration that made it."""

import json
import pathlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from milan_jax.errors import UserError
from milan_jax.store.atomic import write_json
from milan_jax.version import __version__

CONFIG = "config.json"
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def open_workdir(folder: str | pathlib.Path, config: Mapping[str, Any]) -> pathlib.Path:
  """Makes a run directory, or reopens one to go on with the same configuration.

  Args:
    folder: the directory.
    config: what the results depend on; JSON values only.

  Returns:
    The directory, with `config.json` in it.

  Raises:
    UserError: the directory belongs to a run with another configuration, or is a
      folder of something else.
  """
  folder = pathlib.Path(folder)
  path = folder / CONFIG
  if folder.exists() and not folder.is_dir():
    raise UserError(f"--workdir: {folder} is a file; expected a folder or a new name.")
  if path.exists():
    _compare(path, config)
    return folder
  if folder.exists() and any(folder.iterdir()):
    raise UserError(
      f"--workdir: {folder} holds files but no {CONFIG}, so it is no run of ours; "
      "name a new folder."
    )
  folder.mkdir(parents=True, exist_ok=True)
  versions = {"milan-jax": __version__}
  versions |= {name: metadata.version(name) for name in _LIBRARIES}
  write_json(path, {"config": dict(config), "versions": versions})
  return folder


def _compare(path: pathlib.Path, config: Mapping[str, Any]) -> None:
  try:
    known = json.loads(path.read_text())["config"]
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(f"{path} is damaged; remove the folder or name another.") from error
  changed = [
    f"{name} is {known.get(name)!r} there and {config.get(name)!r} here"
    for name in sorted(known.keys() | config.keys())
    if known.get(name) != config.get(name)
  ]
  if changed:
    raise UserError(
      f"--workdir: {path.parent} holds a run of another configuration "
      f"({'; '.join(changed)}); name another folder, or repeat its options to go on."
    )
