"""Reads Qt's binary resource archives (`.rcc`).

Source: Qt's own reader, `qresource.cpp`, and writer, `rcc.cpp`. All numbers are
big-endian. The header holds `qres`, the format's version and the offsets of the tree,
the data and the names. A node of the tree has 14 bytes, plus an 8-byte time from
version 2 on.
"""

import os
import pathlib
import struct
import zlib
from collections.abc import Iterator

from milan_jax._src.errors import UserError

_COMPRESSED = 1
_FOLDER = 2
_ZSTD = 4


class QtResources:
  """The files in an archive. Only their offsets are kept in memory.

  Args:
    path: the archive.

  Raises:
    UserError: if it cannot be read, is not a Qt resource archive, or is damaged.
  """

  def __init__(self, path: str | os.PathLike[str]):
    self._path = pathlib.Path(path)
    try:
      content = self._path.read_bytes()
    except OSError as error:
      raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    if content[:4] != b"qres":
      raise UserError(
        f"{path} is not a Qt resource archive: expected it to begin with 'qres'."
      )
    try:
      version, tree, self._data, names = struct.unpack_from(">4I", content, 4)
      self._places = dict(_files(content, tree, names, 14 if version < 2 else 22))
    except (struct.error, UnicodeDecodeError, RecursionError) as error:
      raise UserError(
        f"{path} is damaged ({error}): remove its package's folder and run the same "
        "command again."
      ) from error

  def names(self) -> list[str]:
    """Returns the sorted paths of the files."""
    return sorted(self._places)

  def read(self, name: str) -> bytes:
    """Returns the content of one file.

    Raises:
      KeyError: if there is no such file.
      UserError: if it is damaged, or compressed with an unsupported method.
    """
    flags, offset = self._places[name]
    with self._path.open("rb") as file:
      file.seek(self._data + offset)
      size = int.from_bytes(file.read(4), "big")
      content = file.read(size)
    if flags & _ZSTD:
      raise UserError(
        f"{name} in {self._path} is compressed with zstd, which is not supported: "
        "expected zlib or none. Use the package of Debian 12 (gcompris-qt-data 3.1)."
      )
    try:
      if len(content) < size:
        raise zlib.error("the file ends early")
      # The first four bytes hold the uncompressed length.
      return zlib.decompress(content[4:]) if flags & _COMPRESSED else content
    except zlib.error as error:
      raise UserError(
        f"{name} in {self._path} is damaged ({error}): remove the package's folder and "
        "run the same command again."
      ) from error


def _files(
  content: bytes, tree: int, names: int, node_size: int, node: int = 0, prefix: str = ""
) -> Iterator[tuple[str, tuple[int, int]]]:
  """Yields the path, flags and data offset of each file below a node."""
  start = tree + node * node_size
  name_offset, flags = struct.unpack_from(">IH", content, start)
  path = prefix
  if node:  # the root has no name
    (length,) = struct.unpack_from(">H", content, names + name_offset)
    first = names + name_offset + 6  # after the length and a hash
    path += content[first : first + 2 * length].decode("utf-16-be")
  if not flags & _FOLDER:
    (offset,) = struct.unpack_from(">I", content, start + 10)
    yield path, (flags, offset)
    return
  count, child = struct.unpack_from(">2I", content, start + 6)
  for index in range(child, child + count):
    below = f"{path}/" if node else ""
    yield from _files(content, tree, names, node_size, index, below)
