"""A comment in a JPEG file that says whose it is, and that nothing of it changed."""

import zlib

# After the file's first marker lies its header, which must come first.
_START = 2
_COMMENT = b"\xff\xfe\x00\x0a"  # marker, and the length of itself and 8 digits
_SIZE = len(_COMMENT) + 8


def signed(data: bytes, name: str) -> bytes:
  """A JPEG file with the checksum of its name and content in a comment."""
  place = _place(data)
  return data[:place] + _comment(data, name) + data[place:]


def is_signed(data: bytes, name: str) -> bool:
  """Whether a file is what `signed` made for this name, to the last bit."""
  place = _place(data)
  rest = data[:place] + data[place + _SIZE :]
  return data[place : place + _SIZE] == _comment(rest, name)


def _place(data: bytes) -> int:
  """Where the header ends."""
  length = int.from_bytes(data[_START + 2 : _START + 4], "big")
  return _START + 2 + length


def _comment(data: bytes, name: str) -> bytes:
  checksum = zlib.crc32(data, zlib.crc32(name.encode()))
  return _COMMENT + f"{checksum:08x}".encode()
