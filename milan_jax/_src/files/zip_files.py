"""Unpacks zip archives from other machines, without trusting their names."""

import hashlib
import pathlib
import shutil
import stat
import zipfile
import zlib
from typing import Any

from milan_jax._src.errors import UserError

_CHUNK = 1 << 20
# What `zipfile` raises for a damaged, encrypted or unsupported archive.
_DAMAGED = (
  *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
  *(UnicodeError, ValueError),
)


def unpack(
  archive: pathlib.Path, folder: pathlib.Path, *, holding: str
) -> dict[str, dict[str, Any]]:
  """Unpacks the part of an archive that contains a file.

  The part is the folder of the archive with the file `holding`, the one nearest to the
  top; its content is written to `folder`. What is beside it is left out.

  Args:
    archive: the zip archive.
    folder: an existing empty folder.
    holding: name of a file of the part.

  Returns:
    `size` in bytes and hex digest `sha256` of each file, by its path in `folder`.

  Raises:
    UserError: if the archive is damaged, has a name that leaves the folder, a link or a
      name twice, lacks the file, or does not fit on the disk.
  """
  try:
    with zipfile.ZipFile(archive) as opened:
      members = [each for each in opened.infolist() if not each.is_dir()]
      _check_names(archive, members)
      part = _part(archive, [each.filename for each in members], holding)
      chosen = [each for each in members if each.filename.startswith(part)]
      _check_space(archive, folder, sum(each.file_size for each in chosen))
      found = {}
      for member in chosen:
        name = member.filename.removeprefix(part)
        found[name] = _write(opened, member, folder / name)
  except UserError:
    raise
  except _DAMAGED as error:
    raise UserError(
      f"{archive} is damaged ({error or type(error).__name__}): remove it, so that it "
      "is downloaded again"
    ) from error
  return found


def _check_names(archive: pathlib.Path, members: list[zipfile.ZipInfo]) -> None:
  seen = set()
  for member in members:
    name, mode = member.filename, member.external_attr >> 16
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or ":" in name:
      reason = "is not a path inside it"
    elif stat.S_ISLNK(mode):
      reason = "is a link"
    elif name in seen:
      reason = "is there twice"
    else:
      seen.add(name)
      continue
    raise UserError(
      f"{archive} is refused: its file {name[:80]!r} {reason}. Nothing was unpacked: "
      "remove it, and check where it came from"
    )


def _part(archive: pathlib.Path, names: list[str], holding: str) -> str:
  """Returns the path of the part that contains `holding`, with a slash at its end."""
  inside = [name for name in names if name.rpartition("/")[2] == holding]
  inside = [name for name in inside if not name.startswith("__MACOSX/")]
  if not inside:
    raise UserError(
      f"{archive} has no {holding}: expected an archive of annotated exemplars; remove "
      "it, and check where it came from"
    )
  return min(inside, key=lambda name: (name.count("/"), name)).removesuffix(holding)


def _check_space(archive: pathlib.Path, folder: pathlib.Path, needed: int) -> None:
  free = shutil.disk_usage(folder).free
  if needed > free:
    raise UserError(
      f"{archive} needs {needed / 1e9:.1f} GB unpacked, but {folder.parent} has "
      f"{free / 1e9:.1f} GB left: make room, or choose another folder"
    )


def _write(
  opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: pathlib.Path
) -> dict[str, Any]:
  path.parent.mkdir(parents=True, exist_ok=True)
  digest, size = hashlib.sha256(), 0
  with opened.open(member) as source, path.open("xb") as file:
    while chunk := source.read(_CHUNK):
      digest.update(chunk)
      size += len(chunk)
      file.write(chunk)
  return {"size": size, "sha256": digest.hexdigest()}
