"""JSON files that milan-jax writes: checked on reading, some with a checksum."""

import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from milan_jax._src.errors import UserError

# Under it lies the checksum of all the rest.
SEAL = "crc32"
_CHUNK = 1 << 20


def read_json(
  path: str | os.PathLike[str], kind: type, *, remedy: str, check: bool = True
) -> Any:
  """Reads a JSON file whose value is of a kind, and checks its seal if it has one.

  Args:
    path: the file.
    kind: what it holds, `dict` or `list`.
    remedy: what to do about a damaged file, for the message.
    check: whether to check the seal; where not, `check_seal` is for the caller, once
      it has looked for what it can name.

  Raises:
    UserError: if it is missing, no JSON, of another kind, or changed since it was
      sealed.
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
    check_seal(value, path, remedy=remedy)
  return value


def check_seal(value: Mapping[str, Any], path: pathlib.Path, *, remedy: str) -> None:
  """Raises UserError if the JSON object of a file is not as it was sealed."""
  if not seal_holds(value):
    raise UserError(
      f"{path} was changed since it was written ({SEAL!r} does not fit): {remedy}, or "
      f"remove {SEAL!r} if you changed it yourself."
    )


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
  """A JSON object with the checksum of all the rest in it."""
  rest = {name: one for name, one in value.items() if name != SEAL}
  return rest | {SEAL: _checksum(rest)}


def seal_holds(value: Mapping[str, Any]) -> bool:
  """Whether a JSON object is as it was sealed; true if it never was."""
  return SEAL not in value or value[SEAL] == sealed(value)[SEAL]


def _checksum(value: Any) -> str:
  # As JSON again: numbers and texts come back as they were, tuples as lists.
  return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"


def checksums(folder: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
  """The CRC-32 of files in a folder, by their names."""
  return {name: _file_checksum(folder / name) for name in names}


def check_files(folder: pathlib.Path, known: Any, *, remedy: str) -> None:
  """Compares files with their checksums.

  Args:
    folder: where they lie.
    known: what `checksums` gave when they were written; None checks nothing.
    remedy: what to do about a damaged file.

  Raises:
    UserError: if a file is missing or not as it was written.
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
        f"{path} is corrupt (it does not have the checksum that was noted when it was "
        f"written): {remedy}."
      )


def _file_checksum(path: pathlib.Path) -> str:
  checksum = 0
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK):
      checksum = zlib.crc32(chunk, checksum)
  return f"{checksum:08x}"
