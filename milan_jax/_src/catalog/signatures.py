"""Marks WebP files of milan-jax with a checksum in metadata, to detect changes."""

import struct
import zlib

# Of the container: "RIFF", the length of the rest, "WEBP", then chunks. Metadata is
# allowed only in the extended format, whose first chunk is VP8X.
_HEADER = 12
_XMP, _ALPHA = 0x04, 0x10
_CHUNK = struct.Struct("<4sI")
_DIGITS = 8


def signed(data: bytes, size: tuple[int, int], name: str) -> bytes:
  """Returns a simple WebP file with the checksum of its name and content in it.

  Args:
    data: the file, as an encoder writes it without metadata.
    size: width and height of the picture, in pixels.
    name: what the picture is of.
  """
  chunks = data[_HEADER:]
  if chunks[:4] == b"VP8X":  # transparent and lossy
    flags, chunks = chunks[8], chunks[18:]
  else:
    flags = _ALPHA if chunks[:4] == b"VP8L" else 0
  extent = b"".join((side - 1).to_bytes(3, "little") for side in size)
  head = _CHUNK.pack(b"VP8X", 10) + bytes([flags | _XMP, 0, 0, 0]) + extent
  mark = _CHUNK.pack(b"XMP ", _DIGITS)
  length = 4 + len(head) + len(chunks) + len(mark) + _DIGITS
  whole = b"RIFF" + struct.pack("<I", length) + b"WEBP" + head + chunks + mark
  return whole + _checksum(whole, name)


def is_signed(data: bytes, name: str) -> bool:
  """Returns whether a file is exactly the output of `signed` for this name."""
  return data[-_DIGITS:] == _checksum(data[:-_DIGITS], name)


def _checksum(data: bytes, name: str) -> bytes:
  return f"{zlib.crc32(data, zlib.crc32(name.encode())):0{_DIGITS}x}".encode()
