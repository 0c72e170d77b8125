"""Locks on folders, so that only one process at a time uses them.

The lock is an operating system lock on a file `.lock`. It ends with its process, even
if the process is killed: the remaining file is not locked.
"""

import contextlib
import errno
import os
import pathlib
import platform
import sys
import time
from collections.abc import Iterator

from milan_jax._src.errors import UserError
from milan_jax._src.files.remote import is_remote

if sys.platform != "win32":
  import fcntl


LOCK = ".lock"
# Errors of file systems without locks, on which (as on Windows) folders are not locked.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_TRIES = 100


@contextlib.contextmanager
def hold(
  folder: str | os.PathLike[str],
  *,
  flag: str = "--workdir",
  name: str = LOCK,
  beside: bool = False,
) -> Iterator[pathlib.Path]:
  """Keeps other processes out of a folder while the block runs.

  The folder is created if missing, and removed at the end if it is empty.

  Args:
    folder: the folder.
    flag: the option that names it, for messages.
    name: name of the lock; locks with other names are independent.
    beside: place the lock next to the folder, as `.NAME.lock`, and do not create the
      folder; for a folder that is written atomically.

  Yields:
    The folder.

  Raises:
    UserError: if another process holds the lock, or the folder is not writable.
  """
  if is_remote(folder):
    raise UserError(
      f"{flag}={os.fspath(folder)}: expected a local folder; only milan-train has a "
      "remote --workdir."
    )
  folder = pathlib.Path(folder)
  lock = folder / name
  if beside:
    folder = folder.absolute()
    lock = folder.with_name(f".{folder.name}{name}")
  made: list[pathlib.Path] = []
  try:
    file = _lock(lock, made)
  except BlockingIOError:
    raise UserError(
      f"{flag}: {folder} is in use by another run{_holder(lock)}: wait until that "
      "ends, or name another folder."
    ) from None
  except OSError as error:
    if error.errno in _FULL:
      raise
    raise _unusable(flag, folder, error) from error
  try:
    yield folder
  finally:
    # While it is locked: a later process makes and locks a new file.
    with contextlib.suppress(OSError):
      lock.unlink()
    for path in reversed(made):
      with contextlib.suppress(OSError):
        path.rmdir()  # only if it is empty
    os.close(file)


def _lock(lock: pathlib.Path, made: list[pathlib.Path]) -> int:
  """Makes and locks the file, without waiting; adds the folders made to `made`."""
  tries = 0
  while True:
    try:
      _make(lock.parent, made)
      file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
      # Another process may just have removed the folder, which it had made.
      tries += 1
      if tries == _TRIES:
        raise
      continue
    try:
      if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      if _is_still(lock, file):
        with contextlib.suppress(OSError):  # it is only used in the message
          os.truncate(file, 0)
          os.write(file, f"{os.getpid()} on {platform.node()}".encode())
        return file
    except BlockingIOError:
      os.close(file)
      raise
    except OSError as error:
      if error.errno in _NO_LOCKS:
        return file
      os.close(file)
      raise
    os.close(file)  # its holder has removed it in the meantime


def _make(folder: pathlib.Path, made: list[pathlib.Path]) -> None:
  for path in (*reversed(folder.parents), folder):
    if not path.is_dir():
      path.mkdir(exist_ok=True)
      if path not in made:
        made.append(path)


def _is_still(path: pathlib.Path, file: int) -> bool:
  try:
    return os.path.samestat(path.stat(), os.fstat(file))
  except FileNotFoundError:
    return False


def _holder(lock: pathlib.Path) -> str:
  for _ in range(_TRIES):
    try:
      words = lock.read_text()
    except OSError:
      return ""
    if words:
      return f" (process {words})"
    time.sleep(0.01)  # it has just locked the file and is about to write
  return ""


def _unusable(flag: str, folder: pathlib.Path, error: OSError) -> UserError:
  for path in (folder, *folder.parents):
    if _exists(path) and not path.is_dir():
      where = "" if path == folder else f", so that {folder} cannot be made"
      return UserError(
        f"{flag}: {path} is a file{where}; expected a folder or a new name."
      )
  return UserError(
    f"{flag}: {folder} cannot be written to ({error.strerror}): give access, or name "
    "another folder."
  )


def _exists(path: pathlib.Path) -> bool:
  try:
    return path.exists()
  except OSError:  # such as a name that is too long
    return False
