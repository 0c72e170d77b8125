"""Records of TFRecord files at any place, read without TensorFlow.

A file is records one after another, each a length (uint64), the length's checksum
(uint32), the data and the data's checksum (uint32), all little-endian.
"""

import array
import bisect
import concurrent.futures
import dataclasses
import itertools
import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Int64

from milan_jax._src.errors import UserError
from milan_jax._src.images.source import UnreadableImageError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_BEFORE = _LENGTH.size + _CHECKSUM.size
_AROUND = _BEFORE + _CHECKSUM.size
# Files indexed at once: on a disk far away each step waits for an answer.
_AT_ONCE = 16


def _fast_crc32c() -> Callable[[bytes], int] | None:
  """The library's checksum, if it is there and not its slow substitute in Python."""
  try:
    import google_crc32c
  except ImportError:
    return None
  return google_crc32c.value if google_crc32c.implementation == "c" else None


_CRC32C = _fast_crc32c()


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
  """Records of one file.

  Attributes:
    path: the file.
    start: number of the first record taken.
    stop: number after the last; None takes all that follow.
    total: how many records the whole file must hold; None if that is not known.
  """

  path: pathlib.Path
  start: int = 0
  stop: int | None = None
  total: int | None = None


class TfRecords:
  """The records of several files as one sequence, in the order the parts are given.

  Where records begin is found once, by a step from each to the next, and goes along to
  other processes: 8 bytes a record, against a read of every record's length. No file
  stays open, since a data set may have more files than a process may hold, so that any
  number of threads and processes may read.

  A record's checksum is looked at if google_crc32c is installed; in plain Python that
  would take longer than to decode the picture.

  Args:
    parts: what to take of which file. A file may come up again.

  Raises:
    UserError: if a file is missing, cut short, damaged, compressed, or holds another
      number of records than it must.
  """

  def __init__(self, parts: Iterable[Part]):
    parts = tuple(parts)
    paths = list(dict.fromkeys(part.path for part in parts))
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
      found = dict(zip(paths, pool.map(_offsets, paths), strict=True))
    self._paths = [part.path for part in parts]
    self._offsets = [_taken(part, found[part.path]) for part in parts]
    lengths = (len(offsets) - 1 for offsets in self._offsets)
    # Number of the first record of each part, and of all records.
    self._firsts = list(itertools.accumulate(lengths, initial=0))

  def __len__(self) -> int:
    return self._firsts[-1]

  def __getitem__(self, index: int) -> bytes:
    """The data of a record.

    Raises:
      UnreadableImageError: if the data is not what its checksum says.
      UserError: if the file is no longer what it was when it was indexed.
      IndexError: if there is no such record.
    """
    if not 0 <= index < len(self):
      raise IndexError(f"record {index} of {len(self)}")
    part = bisect.bisect_right(self._firsts, index) - 1
    row = index - self._firsts[part]
    start, stop = map(int, self._offsets[part][row : row + 2])
    record = _read(self._paths[part], start, stop)
    data = record[_BEFORE : -_CHECKSUM.size]
    (checksum,) = _CHECKSUM.unpack(record[-_CHECKSUM.size :])
    if _CRC32C and _masked(_CRC32C(data)) != checksum:
      raise UnreadableImageError(
        f"the record at byte {start} of {self._paths[part]} is not what its checksum "
        "says"
      )
    return data


def _masked(crc: int) -> int:
  """As the format stores a checksum, lest data that holds checksums look like one."""
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read(path: pathlib.Path, start: int, stop: int) -> bytes:
  """One record with all that is around it."""
  try:
    with path.open("rb", buffering=0) as file:
      record = os.pread(file.fileno(), stop - start, start)
  except FileNotFoundError:
    record = b""
  whole = len(record) == stop - start
  if not whole or _LENGTH.unpack_from(record) != (stop - start - _AROUND,):
    raise UserError(
      f"{path} was changed while it was in use: expected a record of "
      f"{stop - start - _AROUND} bytes at byte {start}. Put it back, or start again."
    )
  return record


def _taken(
  part: Part, offsets: Int64[np.ndarray, "bounds"]
) -> Int64[np.ndarray, "taken"]:
  """Where the records of a part begin, and where its last one ends."""
  total = len(offsets) - 1
  if part.total is not None and total != part.total:
    raise UserError(
      f"{part.path}: expected {part.total} records, found {total}. It is not the file "
      "that was written with this data set: copy or prepare the data set again."
    )
  stop = total if part.stop is None else part.stop
  if not 0 <= part.start <= stop <= total:
    raise ValueError(f"no records {part.start} to {stop} among {total} of {part.path}")
  return offsets[part.start : stop + 1]


def _offsets(path: pathlib.Path) -> Int64[np.ndarray, "bounds"]:
  """Where each record of a file begins, and where the last one ends."""
  found = array.array("q", [0])
  try:
    with path.open("rb", buffering=0) as file:
      number = file.fileno()
      size, place = os.fstat(number).st_size, 0
      while place < size:
        header = os.pread(number, _BEFORE, place)
        whole = len(header) == _BEFORE
        length = _LENGTH.unpack_from(header)[0] if whole else 0
        if not whole or length > size - place - _AROUND:
          raise UserError(_damage(path, os.pread(number, 4096, 0), place, length, size))
        place += length + _AROUND
        found.append(place)
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}): expected all files of the data "
      "set. Copy or prepare it again."
    ) from error
  return np.array(found, np.int64)


def _damage(path: pathlib.Path, head: bytes, place: int, length: int, size: int) -> str:
  """What is wrong with a file whose record at `place` goes beyond its end."""
  if _is_compressed(head):
    return (
      f"{path} is compressed (GZIP or ZLIB), so that its records cannot be read at any "
      "place: expected a TFRecord file that is not. Prepare the data set without "
      "compression."
    )
  return (
    f"{path} is cut short or damaged: expected a record of {length} bytes and the "
    f"{_AROUND} around it at byte {place}, found {size - place} bytes to the end. Copy "
    "or prepare the data set again."
  )


def _is_compressed(head: bytes) -> bool:
  """Whether GZIP or ZLIB can read it; their marks alone may be a record's length."""
  try:
    return len(head) > 1 and bool(zlib.decompressobj(wbits=47).decompress(head))
  except zlib.error:
    return False
