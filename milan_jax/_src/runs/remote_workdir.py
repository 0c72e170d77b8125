"""Run directories on object stores, such as `gs://bucket/run`.

The run works in a local copy in the cache. The copy is pushed to the store whenever the
run asks for it: changed files first, then a list of all files with their digests, then
old files are removed. A push that is cut short leaves the list and the checkpoints of
the push before it, and perhaps a newer file of losses, as a killed run does; the list
announces such files before they are replaced. A run can go on from there on another
machine. A file that is neither listed nor announced as it is, such as one that was cut
while it was copied, is refused.
"""

import json
import os
import pathlib
import shutil
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.cache import cache_folder
from milan_jax._src.files.digests import sha256_of, sha256_of_file
from milan_jax._src.files.remote import copy_file, epath, is_remote, unreachable
from milan_jax._src.runs.locks import LOCK
from milan_jax._src.runs.processes import BEGUN
from milan_jax._src.runs.workdir import FEATURES

MANIFEST = "pushed.json"
# Size and digest of a remote file; None in lists of earlier versions.
Entry = dict[str, int | str] | None
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
    self._entries: dict[str, Entry] = {}
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
    gone = self._pushed.keys() - files.keys()
    changed = {name for name in files if self._pushed.get(name) != files[name]}
    entries = {
      name: _entry(self.folder / name) if name in changed else self._entries[name]
      for name in files
    }
    known = _manifest(self.folder / MANIFEST)
    number = known.get("number", 0)
    try:
      replaced = {name: entries[name] for name in changed & self._entries.keys()}
      if replaced:
        self._write_list(number, self._entries, replaced)
      for name in sorted(changed):
        target = self._remote / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(self.folder / name, target)
      # The local list is never ahead of the remote one, which would count as another
      # run's: what is cut between the two has the same files on both sides.
      following = self._write_list(number + 1, entries)
      following.replace(self.folder / MANIFEST)
      for name in gone:
        if (self._remote / name).exists():
          (self._remote / name).unlink()
    except UserError:
      raise
    except Exception as error:  # of many kinds, from several libraries
      raise unreachable(self._remote, error) from error
    self._pushed, self._entries = files, entries

  def _write_list(
    self,
    number: int,
    entries: dict[str, Entry],
    following: dict[str, Entry] | None = None,
  ) -> pathlib.Path:
    """Writes the remote list; returns a local file of the same content."""
    manifest: dict[str, Any] = {"number": number, "files": entries}
    if following:
      manifest["following"] = following
    path = self.folder / f"{MANIFEST}.partial"
    write_json(path, manifest)
    copy_file(path, self._remote / MANIFEST)
    return path

  def _pull(self) -> None:
    """Replaces the local copy if the remote directory is ahead of it."""
    try:
      path = self._remote / MANIFEST
      found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
      number, files = found.get("number", 0), found.get("files", {})
      if isinstance(files, list):  # of an earlier version
        files = dict.fromkeys(files)
      following = found.get("following", {})
      self._pushed, self._entries = dict.fromkeys(files), dict(files)
      known = _manifest(self.folder / MANIFEST)
      if number == known.get("number", 0) and files == known.get("files", {}):
        return  # the local copy may be ahead, by what was not pushed yet
      shutil.rmtree(self.folder, ignore_errors=True)
      for name, expected in files.items():
        target = self.folder / name
        if not target.resolve().is_relative_to(self.folder.resolve()):
          raise ValueError(f"it lists {name!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(self._remote / name, target)
        actual = _entry(target)
        if expected is not None and actual not in (expected, following.get(name)):
          raise self._another(name, expected, actual)
        self._pushed[name], self._entries[name] = _signature(target), actual
      if number:
        write_json(self.folder / MANIFEST, {"number": number, "files": files})
    except UserError:
      shutil.rmtree(self.folder, ignore_errors=True)
      raise
    except Exception as error:  # of many kinds, from several libraries
      raise unreachable(self._remote, error) from error

  def _another(self, name: str, expected: Entry, actual: Entry) -> UserError:
    sizes = [f"{each['size']:,} bytes" for each in (expected, actual) if each]
    found = "another content" if len(set(sizes)) == 1 else sizes[-1]
    return UserError(
      f"--workdir: {self._remote / name} is not as {MANIFEST} lists it: expected "
      f"{sizes[0]}, found {found}: a push was cut short, or another run wrote there. "
      "Run the command on the machine that wrote it last, or remove the folder."
    )


def _is_pushed(name: pathlib.PurePath) -> bool:
  own = name.parts[-1]
  is_ours = own in (MANIFEST, BEGUN) or own.startswith(LOCK)
  kept_back = name.parts[0] in _NOT_PUSHED or own.endswith(_NOT_PUSHED[1])
  return not (is_ours or kept_back or ".partial" in own)


def _signature(path: pathlib.Path) -> tuple[int, int]:
  about = path.stat()
  return about.st_size, about.st_mtime_ns


def _entry(path: pathlib.Path) -> Entry:
  return {"size": path.stat().st_size, "sha256": sha256_of_file(path)}


def _manifest(path: pathlib.Path) -> dict[str, Any]:
  """Returns the list of the last push of a local copy; empty if it has none."""
  try:
    found = json.loads(path.read_text())
    if isinstance(found["files"], list):
      found["files"] = dict.fromkeys(found["files"])
    return {"number": int(found["number"]), "files": dict(found["files"])}
  except (OSError, ValueError, KeyError, TypeError):
    return {}
