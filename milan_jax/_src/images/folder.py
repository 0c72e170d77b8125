"""A folder of photographs, flat or nested."""

import collections
import os
import pathlib
from collections.abc import Iterator

from milan_jax._src.errors import UserError
from milan_jax._src.files.names import shown
from milan_jax._src.images.fitted import FittedPictures
from milan_jax._src.images.geometry import Geometry

# Those of the formats that are read (`decoding.FORMATS`).
SUFFIXES = (
  *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif"),
  *(".bmp", ".tif", ".tiff", ".avif", ".avifs"),
  *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
  *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Kinds of files that are named one by one.
_NAMED = 8


class FolderImages(FittedPictures):
  """The pictures in a folder and its sub-folders, sorted by their path.

  Flat, one folder a class, or any deeper. Links to files and to folders are followed,
  but for those that lead back to a folder they are in. Hidden files and folders are
  left out. An image's name is its path in the folder.

  A million paths take some 100 MB, in this process and in each worker.

  Args:
    folder: where to look.
    geometry: how each picture becomes a square.

  Raises:
    UserError: if the folder is missing, is a file, cannot be listed, or holds no
      picture.
  """

  decodes_files = True

  def __init__(self, folder: str | pathlib.Path, geometry: Geometry):
    folder = pathlib.Path(folder)
    if not folder.exists():
      raise UserError(f"No folder {folder}: give the path of a folder of photographs.")
    if not folder.is_dir():
      raise UserError(
        f"{folder} is a file: give the path of the folder that holds the photographs."
      )
    found = sorted(_files(folder, "", ()))
    self._paths = [path for path in found if path.lower().endswith(SUFFIXES)]
    self._others = collections.Counter(
      pathlib.PurePath(path).suffix.lower()
      for path in found
      if not path.lower().endswith(SUFFIXES)
    )
    if not self._paths:
      raise UserError(
        f"No photograph in {folder} or its sub-folders: looked for files that end in "
        f"{', '.join(SUFFIXES)}; found {self.left_out() or 'no file'}."
      )
    self._folder = folder
    self._geometry = geometry

  def __len__(self) -> int:
    return len(self._paths)

  def name(self, index: int) -> str:
    """The picture's path in the folder, as people can read it."""
    return shown(self._paths[index])

  def left_out(self) -> str:
    """How many files are not pictures by their names, by suffix; empty if none are.

    Hidden files are not counted.
    """
    kinds = sorted(self._others.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {kind or 'without suffix'}" for kind, count in kinds[:_NAMED]]
    rest = sum(count for _, count in kinds[_NAMED:])
    return shown(", ".join([*named, f"{rest:,} of other kinds"] if rest else named))

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The pictures, by their paths in the folder."""
    return [(path, self._folder / path) for path in self._paths]

  def content(self, index: int) -> pathlib.Path:
    """The picture's file."""
    return self._folder / self._paths[index]


def _files(
  folder: pathlib.Path, prefix: str, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
  """Paths below a folder, each after `prefix`; `above` are the folders it is in."""
  try:
    about = folder.stat()
    here = (about.st_dev, about.st_ino)
    if here in above:
      return
    with os.scandir(folder) as entries:
      for entry in entries:
        path = prefix + entry.name
        if entry.name.startswith("."):
          continue
        if entry.is_dir():
          yield from _files(folder / entry.name, f"{path}/", (*above, here))
          continue
        # A link that leads nowhere counts: it may be a picture that cannot be read.
        is_file = entry.is_file() or entry.is_symlink()
        if is_file:
          yield path
  except OSError as error:
    raise UserError(
      f"{folder} cannot be listed ({error.strerror}): make it readable, or take it out."
    ) from error
