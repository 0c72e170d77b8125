"""A folder of photographs, flat or nested."""

import collections
import errno
import os
import pathlib
from collections.abc import Iterator

from milan_jax._src.errors import UserError
from milan_jax._src.files.names import shown
from milan_jax._src.images.fitted import FittedPictures
from milan_jax._src.images.geometry import Geometry

# Suffixes of the supported formats (`picture_files.FORMATS`).
SUFFIXES = (
  *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif"),
  *(".bmp", ".tif", ".tiff", ".avif", ".avifs"),
  *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
  *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Maximum number of suffixes listed separately in a message.
_NAMED = 8


class FolderImages(FittedPictures):
  """The pictures in a folder and its subfolders, sorted by their path.

  The folder may be flat, have one subfolder per class, or be nested to any depth. Links
  to files and folders are followed, except links to a folder that contains them. Hidden
  files and folders are skipped. An image's name is its path within the folder.

  A million paths take about 100 MB, in this process and in each worker.

  Args:
    folder: the folder to search.
    geometry: how each picture is resized and cropped.

  Raises:
    UserError: if the folder is missing, is a file, cannot be listed, or contains no
      pictures.
  """

  decodes_files = True

  def __init__(self, folder: str | pathlib.Path, geometry: Geometry):
    folder = pathlib.Path(folder)
    if not folder.exists():
      raise UserError(f"No folder {folder}: give the path of a folder of photographs.")
    if not folder.is_dir():
      raise UserError(
        f"{folder} is a file: give the path of the folder that contains the "
        "photographs."
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
        f"No photographs in {folder} or its subfolders: expected files that end in "
        f"{', '.join(SUFFIXES)}; found {self.left_out() or 'no files'}."
      )
    self._folder = folder
    self._geometry = geometry

  def __len__(self) -> int:
    return len(self._paths)

  def name(self, index: int) -> str:
    """The picture's path within the folder, in printable characters."""
    return shown(self._paths[index])

  def left_out(self) -> str:
    """Numbers of files without a picture's suffix, by suffix; empty if there are none.

    Hidden files are not counted.
    """
    kinds = sorted(self._others.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {kind or 'without suffix'}" for kind, count in kinds[:_NAMED]]
    rest = sum(count for _, count in kinds[_NAMED:])
    return shown(", ".join([*named, f"{rest:,} of other kinds"] if rest else named))

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The pictures, with their paths within the folder as names."""
    return [(path, self._folder / path) for path in self._paths]

  def content(self, index: int) -> pathlib.Path:
    """The picture's file."""
    return self._folder / self._paths[index]


def _is_folder(entry: os.DirEntry[str]) -> bool:
  try:
    return entry.is_dir()
  except OSError as error:
    if error.errno != errno.ELOOP:
      raise
    return False  # a link to itself is as broken as one to nothing


def _files(
  folder: pathlib.Path, prefix: str, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
  """Paths of files below a folder, each with `prefix`; `above`: its parent folders."""
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
        if _is_folder(entry):
          yield from _files(folder / entry.name, f"{path}/", (*above, here))
          continue
        # A broken link counts: it may be a picture that cannot be read.
        is_file = entry.is_symlink() or entry.is_file()
        if is_file:
          yield path
  except OSError as error:
    raise UserError(
      f"{folder} cannot be listed ({error.strerror}): make it readable, or remove it."
    ) from error
