"""Run directories: one folder per run, with its configuration."""

import json
import pathlib
import shutil
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.runs.inputs import FILE, Identity, Tables
from milan_jax._src.runs.locks import LOCK
from milan_jax._src.runs.processes import BEGUN
from milan_jax._src.version import __version__

CONFIG = "config.json"
EXEMPLARS, PARTIAL, FEATURES = "exemplars", "exemplars.partial", "features"
JOURNAL, DESCRIPTIONS = "descriptions.jsonl", "descriptions.csv"
# Files that a run may leave if it is killed before it has begun.
_LEFTOVERS = {BEGUN, ".config.partial.json", FILE, ".inputs.partial.npz"}
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def open_workdir(
  folder: str | pathlib.Path,
  config: Mapping[str, Any],
  *,
  identity: Identity | None = None,
  paths: Collection[str] = (),
) -> pathlib.Path:
  """Creates a run directory, or reopens one to resume with the same configuration.

  Args:
    folder: the directory.
    config: all options that the results depend on; JSON values only.
    identity: the inputs, by content; None for a run without inputs.
    paths: names in `config` whose content is part of `identity`: they are recorded for
      readers, and may differ when the run is resumed.

  Returns:
    The directory, with `config.json` in it.

  Raises:
    UserError: if the directory belongs to a run with another configuration or other
      inputs, or is not a run directory.
  """
  folder = pathlib.Path(folder)
  begin_or_resume(folder, config, identity=identity, paths=paths)
  return folder


def begin_or_resume(
  folder: pathlib.Path,
  config: Mapping[str, Any],
  *,
  identity: Identity | None = None,
  paths: Collection[str] = (),
) -> dict[str, Any]:
  """Begins a run, or checks one that is resumed; returns its `config.json`.

  Args:
    folder: the run directory.
    config: as for `open_workdir`.
    identity: the inputs.
    paths: names in `config` that are not compared.

  Raises:
    UserError: as for `open_workdir`.
  """
  known = read_run(folder)
  if known is None:
    return begin_run(folder, config, identity)
  check_run(folder, known, config, identity=identity, paths=paths)
  return known


def read_run(folder: pathlib.Path) -> dict[str, Any] | None:
  """Reads the `config.json` of a run directory; None if no run has begun.

  Raises:
    UserError: if it is damaged, or the folder is not a run directory.
  """
  path = folder / CONFIG
  if folder.exists() and not folder.is_dir():
    raise UserError(f"--workdir: {folder} is a file; expected a folder or a new name.")
  if not path.exists():
    inside = folder.iterdir() if folder.exists() else ()
    if any(not _is_leftover(each.name) for each in inside):
      raise UserError(
        f"--workdir: {folder} holds files but no {CONFIG}: not a milan-jax run; "
        "choose a new folder."
      )
    return None
  try:
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(known["config"], dict):
      raise TypeError("config is not an object")
    _check_inputs(known.get("inputs", {}))
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"{path} is damaged ({type(error).__name__}: {error}); remove the folder or name "
      "another one."
    ) from error
  return known


def _is_leftover(name: str) -> bool:
  """Returns whether a file may exist before a run has begun."""
  return name in _LEFTOVERS or name.startswith(LOCK)


def _check_inputs(inputs: Any) -> None:
  if not isinstance(inputs, dict):
    raise TypeError("inputs is not an object")
  answers = inputs.get("answers", {})
  if not isinstance(answers, dict):
    raise TypeError("answers is not an object")
  for numbers in answers.values():
    if np.array(numbers, np.float64).ndim != 1:
      raise TypeError("answers are not lists of numbers")


def check_run(
  folder: pathlib.Path,
  known: Mapping[str, Any],
  config: Mapping[str, Any],
  *,
  identity: Identity | None = None,
  paths: Collection[str] = (),
) -> None:
  """Checks that a run can be resumed with this configuration and these inputs.

  Args:
    folder: the run directory.
    known: as `read_run` returns it.
    config: as for `open_workdir`.
    identity: the inputs.
    paths: names in `config` that are not compared.

  Raises:
    UserError: if they differ; the message names the difference.
  """
  before = known["config"]
  changed = [
    f"--{name} is {_spelled(before.get(name))} there "
    f"and {_spelled(config.get(name))} here"
    for name in sorted((before.keys() | config.keys()) - set(paths))
    if not _same(before.get(name), config.get(name))
  ]
  if identity is not None and "inputs" not in known:
    raise UserError(
      f"--workdir: {folder} holds a run of an earlier version of milan-jax, which did "
      "not record the content of its inputs; choose another folder."
    )
  if changed:
    raise UserError(
      f"--workdir: {folder} holds a run of another configuration "
      f"({'; '.join(changed)}); name another folder, or repeat its options to resume."
    )
  if identity is not None:
    change = identity.change(known["inputs"], Tables(folder))
    if change:
      raise UserError(f"{change}; name another --workdir.")


def _same(before: Any, now: Any) -> bool:
  # Earlier versions wrote "", 0 or -1 for an option that was not set.
  return before == now or (now is None and before in ("", 0, -1))


def _spelled(value: Any) -> str:
  return "not set" if value is None else repr(value)


def begin_run(
  folder: pathlib.Path,
  config: Mapping[str, Any],
  identity: Identity | None = None,
  *,
  weights_from: str = "",
) -> dict[str, Any]:
  """Writes the `config.json` of a run, which begins the run, and returns its content.

  Args:
    folder: the run directory.
    config: as for `open_workdir`.
    identity: the inputs.
    weights_from: where the network's weights come from, in words, for readers.
  """
  folder.mkdir(parents=True, exist_ok=True)
  versions = {"milan-jax": __version__}
  versions |= {name: metadata.version(name) for name in _LIBRARIES}
  record: dict[str, Any] = {"config": dict(config), "versions": versions}
  if identity is not None:
    identity.save_tables(folder)
    record["inputs"] = identity.record()
  if weights_from:
    record["weights_from"] = weights_from
  write_json(folder / CONFIG, record)
  return record


def withdraw_run(folder: pathlib.Path) -> None:
  """Removes a run that cannot succeed and has no results yet.

  The corrected command can then use the same folder.
  """
  inside = {path.name for path in folder.iterdir()} - {CONFIG, PARTIAL}
  if not all(map(_is_leftover, inside)):
    return
  shutil.rmtree(folder / PARTIAL, ignore_errors=True)
  for name in (CONFIG, FILE):
    (folder / name).unlink(missing_ok=True)


def job_of(known: Mapping[str, Any]) -> dict[str, Any]:
  """Returns everything that a run's results depend on, as recorded at its beginning.

  Args:
    known: as `read_run` returns it.
  """
  inputs = {name: one for name, one in known["inputs"].items() if name != "answers"}
  notes = {name: known[name] for name in ("weights_from",) if name in known}
  configuration: dict[str, Any] = known["config"] | {"inputs": inputs} | notes
  return configuration
