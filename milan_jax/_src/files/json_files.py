"""JSON files that milan-jax writes: checked on reading, some with a checksum."""

import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from milan_jax._src.errors import UserError

# The key of the checksum over all other entries.
CHECKSUM = "crc32"
_CHUNK = 1 << 20


def read_json(
  path: str | os.PathLike[str], kind: type, *, remedy: str, check: bool = True
) -> Any:
  """Reads a JSON file and checks its type and, if present, its checksum.

  Args:
    path: the file.
    kind: the type of its value, `dict` or `list`.
    remedy: what to do about a damaged file, for the message.
    check: whether to check the checksum. If False, the caller must call
      `check_checksum`, after its own checks with more specific messages.

  Raises:
    UserError: if the file is missing, is not JSON, has another type, or changed since
      its checksum was written.
  """
  path = pathlib.Path(path)
  try:
    value = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing: {remedy}.") from error
  except (OSError, ValueError, RecursionError) as error:
    raise UserError(f"{path} is not JSON ({error}): {remedy}.") from error
  if not isinstance(value, kind):
    raise UserError(
      f"{path}: expected a {kind.__name__}, found a {type(value).__name__}: {remedy}."
    )
  if check and isinstance(value, dict):
    check_checksum(value, path, remedy=remedy)
  return value


def check_checksum(
  value: Mapping[str, Any], path: pathlib.PurePath, *, remedy: str
) -> None:
  """Raises UserError if a file's JSON object does not match its checksum."""
  if not checksum_matches(value):
    raise UserError(
      f"{path} was changed after it was written ({CHECKSUM!r} does not match): "
      f"{remedy}, or remove {CHECKSUM!r} if you changed the file yourself."
    )


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a JSON object with the checksum of its other entries added."""
  rest = {name: one for name, one in value.items() if name != CHECKSUM}
  return rest | {CHECKSUM: _checksum(rest)}


def checksum_matches(value: Mapping[str, Any]) -> bool:
  """Returns whether a JSON object matches its checksum; true without a checksum."""
  return CHECKSUM not in value or value[CHECKSUM] == with_checksum(value)[CHECKSUM]


def _checksum(value: Any) -> str:
  # Computed from JSON text, so that it is the same after reading: tuples become lists.
  return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"


def checksums(folder: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
  """Returns the CRC-32 of files in a folder, by name."""
  return {name: _file_checksum(folder / name) for name in names}


def check_files(folder: pathlib.Path, known: Any, *, remedy: str) -> None:
  """Compares files with their checksums.

  Args:
    folder: the folder of the files.
    known: the result of `checksums` when the files were written; None skips the check.
    remedy: what to do about a damaged file, for the message.

  Raises:
    UserError: if a file is missing or does not match its checksum.
  """
  if known is None:
    return
  if not isinstance(known, dict):
    raise UserError(f"{folder}: its checksums are not a table: {remedy}.")
  for name, checksum in known.items():
    path = folder / name
    try:
      found = _file_checksum(path)
    except FileNotFoundError as error:
      raise UserError(f"{path} is missing: {remedy}.") from error
    except OSError as error:
      raise UserError(f"{path} cannot be read ({error.strerror}): {remedy}.") from error
    if found != checksum:
      raise UserError(
        f"{path} is corrupt (it does not match the checksum that was saved when it was "
        f"written): {remedy}."
      )


def _file_checksum(path: pathlib.Path) -> str:
  checksum = 0
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK):
      checksum = zlib.crc32(chunk, checksum)
  return f"{checksum:08x}"
