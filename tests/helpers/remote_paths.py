"""A scheme of etils whose files are in a local folder, as a stand-in for `gs://`."""

import pathlib

from etils import epath

ROOTS = {"folder": None}


@epath.register_path_cls("stand-in://")
class StandIn(pathlib.PurePosixPath):
  """A path that is no local path: pathlib and open() cannot use it."""

  @classmethod
  def keep_in(cls, folder):
    ROOTS["folder"] = pathlib.Path(folder)

  def __new__(cls, *parts):
    first, *rest = (str(part) for part in parts)
    return super().__new__(cls, first.replace("stand-in://", "/stand-in/"), *rest)

  def __fspath__(self):
    return str(self).replace("/stand-in/", "stand-in://", 1)

  def _local(self):
    return ROOTS["folder"] / str(self).removeprefix("/stand-in/")

  def exists(self):
    return self._local().exists()

  def is_dir(self):
    return self._local().is_dir()

  def is_file(self):
    return self._local().is_file()

  def iterdir(self):
    return (self / each.name for each in self._local().iterdir())

  def mkdir(self, mode=0o777, parents=False, exist_ok=False):
    self._local().mkdir(mode, parents, exist_ok)

  def open(self, mode="r"):
    return self._local().open(mode)

  def read_bytes(self):
    return self._local().read_bytes()

  def read_text(self, encoding=None):
    return self._local().read_text(encoding)

  @property
  def parent(self):
    return StandIn(super().parent)

  def unlink(self):
    self._local().unlink()
