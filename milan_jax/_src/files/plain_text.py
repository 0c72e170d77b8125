"""Reads text files from other programs: any Unicode encoding, integers like 3.0."""

import codecs
import os
import pathlib
import re

from milan_jax._src.errors import UserError

# Byte order marks. UTF-32 comes before UTF-16 because its mark starts with UTF-16's.
_CODINGS = (
  (codecs.BOM_UTF8, "utf-8-sig"),
  (codecs.BOM_UTF32_LE, "utf-32"),
  (codecs.BOM_UTF32_BE, "utf-32"),
  (codecs.BOM_UTF16_LE, "utf-16"),
  (codecs.BOM_UTF16_BE, "utf-16"),
)
_WHOLE = re.compile(r"\s*(\d+)(\.0*)?\s*", re.ASCII)
_MAX = 2**31 - 1


def read_text(path: str | os.PathLike[str]) -> str:
  """Reads a text file as UTF-8, or in the encoding of its byte order mark.

  Raises:
    UserError: if it cannot be read or decoded; the message names the line.
  """
  path = pathlib.Path(path)
  try:
    data = path.read_bytes()
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}") from error
  coding = next((name for mark, name in _CODINGS if data.startswith(mark)), "utf-8")
  try:
    text = data.decode(coding)
  except UnicodeDecodeError as error:
    line = data.count(b"\n", 0, error.start) + 1
    raise UserError(
      f"{path}, line {line}: not {coding.upper().removesuffix('-SIG')} "
      f"({error.reason}): save the file as UTF-8"
    ) from error
  if "\0" in text:
    line = text.count("\n", 0, text.index("\0")) + 1
    raise UserError(f"{path}, line {line}: holds a zero byte, so it is not text")
  return text


def whole_number(text: str) -> int | None:
  """Parses a non-negative integer such as `7` or `7.0`; None if it is not one."""
  found = _WHOLE.fullmatch(text)
  if not found or len(found[1]) > len(str(_MAX)):
    return None
  number = int(found[1])
  return number if number <= _MAX else None
