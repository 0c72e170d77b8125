"""Run directories on object stores, such as `gs://bucket/run`.

The run works in a local copy in the cache. The copy is pushed to the store whenever the
run asks for it: changed files first, then a list of all files, then old files are
removed. A push that is cut short leaves the list and the checkpoints of the push before
it, and perhaps a newer file of losses, as a killed run does. A run can go on from there
on another machine.
"""

import json
import os
import pathlib
import shutil
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.cache import cache_folder
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.remote import copy_file, epath, is_remote, unreachable
from milan_jax._src.runs.locks import LOCK
from milan_jax._src.runs.processes import BEGUN
from milan_jax._src.runs.workdir import FEATURES

MANIFEST = "pushed.json"
_FOLDER = "runs"
# Large, and computed again where they are missing.
_NOT_PUSHED = (FEATURES, "projected.npy")


class RemoteWorkdir:
  """A run directory that may be remote; a local one is used as it is.

  Args:
    workdir: the run directory, local or remote.

  Raises:
    UserError: if a remote directory cannot be read.
  """

  def __init__(self, workdir: str | os.PathLike[str]):
    self._remote: Any = None
    # The remote files, and what is known of the local ones that they were copied from.
    self._pushed: dict[str, tuple[int, int] | None] = {}
    self.folder = pathlib.Path(workdir)
    if not is_remote(workdir):
      return
    self._remote = epath(workdir)
    digest = sha256_of([os.fspath(workdir)])[:16]
    self.folder = cache_folder() / _FOLDER / digest / self._remote.name
    self._pull()

  def push(self) -> None:
    """Copies what has changed since the last push to the remote directory.

    Raises:
      UserError: if it cannot be written.
    """
    if self._remote is None:
      return
    files: dict[str, tuple[int, int] | None] = {
      path.relative_to(self.folder).as_posix(): _signature(path)
      for path in sorted(self.folder.rglob("*"))
      if path.is_file() and _is_pushed(path.relative_to(self.folder))
    }
    known = _number(self.folder / MANIFEST)
    gone = self._pushed.keys() - files.keys()
    try:
      for name, signature in files.items():
        if self._pushed.get(name) != signature:
          target = self._remote / name
          target.parent.mkdir(parents=True, exist_ok=True)
          copy_file(self.folder / name, target)
      manifest = {"number": known + 1, "files": sorted(files)}
      # The local number is never ahead of the remote one, which would count as another
      # run's: what is cut between the two has the same files on both sides.
      following = self.folder / f"{MANIFEST}.partial"
      write_json(following, manifest)
      copy_file(following, self._remote / MANIFEST)
      following.replace(self.folder / MANIFEST)
      for name in gone:
        if (self._remote / name).exists():
          (self._remote / name).unlink()
    except UserError:
      raise
    except Exception as error:  # of many kinds, from several libraries
      raise unreachable(self._remote, error) from error
    self._pushed = files

  def _pull(self) -> None:
    """Replaces the local copy if the remote directory is ahead of it."""
    try:
      path = self._remote / MANIFEST
      found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
      number, names = found.get("number", 0), found.get("files", [])
      self._pushed = dict.fromkeys(names)
      if number == _number(self.folder / MANIFEST):
        return  # the local copy may be ahead, by what was not pushed yet
      shutil.rmtree(self.folder, ignore_errors=True)
      for name in names:
        target = self.folder / name
        if not target.resolve().is_relative_to(self.folder.resolve()):
          raise ValueError(f"it lists {name!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(self._remote / name, target)
        self._pushed[name] = _signature(target)
      if number:
        write_json(self.folder / MANIFEST, found)
    except Exception as error:  # of many kinds, from several libraries
      raise unreachable(self._remote, error) from error


def _is_pushed(name: pathlib.PurePath) -> bool:
  own = name.parts[-1]
  is_ours = own in (MANIFEST, BEGUN) or own.startswith(LOCK)
  kept_back = name.parts[0] in _NOT_PUSHED or own.endswith(_NOT_PUSHED[1])
  return not (is_ours or kept_back or ".partial" in own)


def _signature(path: pathlib.Path) -> tuple[int, int]:
  about = path.stat()
  return about.st_size, about.st_mtime_ns


def _number(path: pathlib.Path) -> int:
  """Returns the number of the last push of a local copy."""
  try:
    return int(json.loads(path.read_text())["number"])
  except (OSError, ValueError, KeyError, TypeError):
    return 0
