"""Random access to records of TFRecord files, without TensorFlow.

A file is a sequence of records; each is a length (uint64), the length's checksum
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
_HEADER_SIZE = _LENGTH.size + _CHECKSUM.size
_FRAMING_SIZE = _HEADER_SIZE + _CHECKSUM.size
# Files indexed concurrently: on a network drive each read has a high latency.
_MAX_CONCURRENT = 16


def _fast_crc32c() -> Callable[[bytes], int] | None:
  """The library's checksum, if it is installed with its C implementation."""
  try:
    import google_crc32c
  except ImportError:
    return None
  return google_crc32c.value if google_crc32c.implementation == "c" else None


_CRC32C = _fast_crc32c()


@dataclasses.dataclass(frozen=True, slots=True)
class RecordRange:
  """A range of records of one file.

  Attributes:
    path: the file.
    start: index of the first record.
    stop: index after the last record; None for the end of the file.
    total: number of records that the whole file must contain; None if unknown.
  """

  path: pathlib.Path
  start: int = 0
  stop: int | None = None
  total: int | None = None


class TfRecords:
  """The records of several files as one sequence, in the order of the parts.

  The offsets of the records are found once by reading every record's length. They are
  pickled for other processes (8 bytes per record), which saves these reads there. Files
  are opened for each read, because a data set may have more files than a process may
  have open. Any number of threads and processes may read.

  A record's checksum is verified if google_crc32c is installed with its C
  implementation; in plain Python this would take longer than decoding the picture.

  Args:
    parts: the ranges of records. A file may occur more than once.

  Raises:
    UserError: if a file is missing, truncated, corrupt or compressed, or has another
      number of records than expected.
  """

  def __init__(self, parts: Iterable[RecordRange]):
    parts = tuple(parts)
    paths = list(dict.fromkeys(part.path for part in parts))
    with concurrent.futures.ThreadPoolExecutor(_MAX_CONCURRENT) as pool:
      found = dict(zip(paths, pool.map(_offsets, paths), strict=True))
    self._paths = [part.path for part in parts]
    self._offsets = [_range_offsets(part, found[part.path]) for part in parts]
    lengths = (len(offsets) - 1 for offsets in self._offsets)
    # Index of the first record of each part; last, the total number of records.
    self._firsts = list(itertools.accumulate(lengths, initial=0))

  def __len__(self) -> int:
    return self._firsts[-1]

  def __getitem__(self, index: int) -> bytes:
    """The data of a record.

    Raises:
      UnreadableImageError: if the data does not match its checksum.
      UserError: if the file has changed since it was indexed.
      IndexError: if there is no such record.
    """
    if not 0 <= index < len(self):
      raise IndexError(f"record {index} of {len(self)}")
    part = bisect.bisect_right(self._firsts, index) - 1
    row = index - self._firsts[part]
    start, stop = map(int, self._offsets[part][row : row + 2])
    record = _read(self._paths[part], start, stop)
    data = record[_HEADER_SIZE : -_CHECKSUM.size]
    (checksum,) = _CHECKSUM.unpack(record[-_CHECKSUM.size :])
    if _CRC32C and _masked(_CRC32C(data)) != checksum:
      raise UnreadableImageError(
        f"the record at byte {start} of {self._paths[part]} does not match its checksum"
      )
    return data


def _masked(crc: int) -> int:
  """Masks a checksum as the format does, so that data may itself contain checksums."""
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read(path: pathlib.Path, start: int, stop: int) -> bytes:
  """One record with its length and checksums."""
  try:
    with path.open("rb", buffering=0) as file:
      record = os.pread(file.fileno(), stop - start, start)
  except FileNotFoundError:
    record = b""
  whole = len(record) == stop - start
  if not whole or _LENGTH.unpack_from(record) != (stop - start - _FRAMING_SIZE,):
    raise UserError(
      f"{path} was changed while it was in use: expected a record of "
      f"{stop - start - _FRAMING_SIZE} bytes at byte {start}. Restore it, or start a "
      "new run."
    )
  return record


def _range_offsets(
  part: RecordRange, offsets: Int64[np.ndarray, "bounds"]
) -> Int64[np.ndarray, "taken"]:
  """Offsets of the records of a part, and the end of its last record."""
  total = len(offsets) - 1
  if part.total is not None and total != part.total:
    raise UserError(
      f"{part.path}: expected {part.total} records, found {total}. The file does not "
      "belong to this data set: copy or prepare the data set again."
    )
  stop = total if part.stop is None else part.stop
  if not 0 <= part.start <= stop <= total:
    raise ValueError(f"no records {part.start} to {stop} among {total} of {part.path}")
  return offsets[part.start : stop + 1]


def _offsets(path: pathlib.Path) -> Int64[np.ndarray, "bounds"]:
  """Offset of each record of a file, and the end of the last record."""
  found = array.array("q", [0])
  try:
    with path.open("rb", buffering=0) as file:
      number = file.fileno()
      size, offset = os.fstat(number).st_size, 0
      while offset < size:
        header = os.pread(number, _HEADER_SIZE, offset)
        whole = len(header) == _HEADER_SIZE
        length = _LENGTH.unpack_from(header)[0] if whole else 0
        if not whole or length > size - offset - _FRAMING_SIZE:
          raise UserError(
            _corruption_message(path, os.pread(number, 4096, 0), offset, length, size)
          )
        offset += length + _FRAMING_SIZE
        found.append(offset)
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}): expected all files of the data "
      "set. Copy or prepare it again."
    ) from error
  return np.array(found, np.int64)


def _corruption_message(
  path: pathlib.Path, head: bytes, offset: int, length: int, size: int
) -> str:
  """An error message for a file whose record at `offset` extends past its end."""
  if _is_compressed(head):
    return (
      f"{path} is compressed (GZIP or ZLIB), which prevents random access: expected an "
      "uncompressed TFRecord file. Prepare the data set without compression."
    )
  return (
    f"{path} is truncated or corrupt: expected a record of {length} bytes plus "
    f"{_FRAMING_SIZE} bytes of framing at byte {offset}, found {size - offset} bytes "
    "to the end. Copy or prepare the data set again."
  )


def _is_compressed(head: bytes) -> bool:
  """Whether it is GZIP or ZLIB data; the magic bytes alone may be a record's length."""
  try:
    return len(head) > 1 and bool(zlib.decompressobj(wbits=47).decompress(head))
  except zlib.error:
    return False
