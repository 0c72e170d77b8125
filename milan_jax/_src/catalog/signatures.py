"""Marks JPEG files of milan-jax with a checksum in a comment, to detect changes."""

import zlib

# The header follows the file's first marker and must come before the comment.
_START = 2
_COMMENT = (
  b"\xff\xfe\x00\x0a"  # marker, and the length of the length field and 8 digits
)
_SIZE = len(_COMMENT) + 8


def signed(data: bytes, name: str) -> bytes:
  """Returns a JPEG file with the checksum of its name and content in a comment."""
  place = _place(data)
  return data[:place] + _comment(data, name) + data[place:]


def is_signed(data: bytes, name: str) -> bool:
  """Returns whether a file is exactly the output of `signed` for this name."""
  place = _place(data)
  rest = data[:place] + data[place + _SIZE :]
  return data[place : place + _SIZE] == _comment(rest, name)


def _place(data: bytes) -> int:
  """Returns the offset of the end of the header."""
  length = int.from_bytes(data[_START + 2 : _START + 4], "big")
  return _START + 2 + length


def _comment(data: bytes, name: str) -> bytes:
  checksum = zlib.crc32(data, zlib.crc32(name.encode()))
  return _COMMENT + f"{checksum:08x}".encode()
