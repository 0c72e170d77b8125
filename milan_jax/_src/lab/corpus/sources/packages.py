"""Downloads Debian packages with the system's package manager and unpacks them.

Nothing is installed: `apt-get download` verifies a package by the distribution's
signatures, and `dpkg-deb -x` unpacks it into a separate folder. On other systems the
user unpacks the packages into the same folders by hand.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of, sha256_of_file
from milan_jax._src.files.staging import staged_folder

MARKER = "milan-package.json"
# Called with the current step, the packages fetched and the total number of packages.
Progress = Callable[[str, int, int], None]

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_LICENSE_NAME = re.compile(
  r"\b(A?GPL|LGPL|GNU [\w ]*Licen[cs]e|Creative Commons|CC[- ]BY|CC0|BSD|MIT|Expat"
  r"|Apache|Artistic|Mozilla|MPL|public domain)\b",
  re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Package:
  """An unpacked package.

  Attributes:
    name: its name in the distribution.
    version: the distribution's version; "unknown" if the user unpacked it.
    sha256: hex digest of the `.deb`, or of the names and contents of the files if the
      user unpacked it.
    license: short names of the licenses of its parts, from its copyright file.
    folder: contains `usr`.
  """

  name: str
  version: str
  sha256: str
  license: str
  folder: pathlib.Path


def fetch_packages(
  names: Sequence[str],
  folder: str | os.PathLike[str],
  *,
  progress: Progress | None = None,
) -> dict[str, Package]:
  """Downloads and unpacks missing packages, each into `FOLDER/NAME`.

  Packages already in the folder are not downloaded again. A killed call resumes at the
  package that it was downloading.

  Args:
    names: the packages.
    folder: the cache; created if missing.
    progress: called before each package and at the end.

  Raises:
    UserError: if this system has no `apt-get`, `apt-get` fails, or the archive is
      damaged.
  """
  folder = pathlib.Path(folder).absolute()
  packages = {}
  for done, name in enumerate(names):
    if progress:
      progress(f"fetching {name}", done, len(names))
    packages[name] = _package(name, folder)
  if progress:
    progress("fetching packages", len(names), len(names))
  return packages


def _package(name: str, folder: pathlib.Path) -> Package:
  if not _NAME.fullmatch(name):
    raise UserError(
      f"{name!r} is not a name of a Debian package: expected lower-case letters, "
      "digits and + . -, such as wordnet-base."
    )
  target = folder / name
  if not target.exists():
    _fetch(name, target)
  if not (target / "usr").is_dir():
    raise UserError(
      f"{target} holds no unpacked package: expected {target / 'usr'}. Remove the "
      "folder and run the same command again, or unpack the package into it."
    )
  license = read_license(target, name)
  try:
    marker = json.loads((target / MARKER).read_bytes())
    return Package(name, marker["version"], marker["sha256"], license, target)
  except FileNotFoundError:
    return Package(name, "unknown", _tree_sha256(target), license, target)
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"{target / MARKER} is damaged: remove {target} and run the same command again."
    ) from error


def _fetch(name: str, target: pathlib.Path) -> None:
  download = target.with_name(f".{name}.download")
  shutil.rmtree(download, ignore_errors=True)
  by_hand = (
    f"unpack the package {name} yourself (`dpkg-deb -x {name}_*.deb {target}` on any "
    "Debian or Ubuntu), and run the same command again"
  )
  for program in ("apt-get", "dpkg-deb"):
    if not shutil.which(program):
      raise UserError(f"{program} is needed for {name} but not installed: {by_hand}.")
  download.mkdir(parents=True)
  try:
    _run(
      ("apt-get", "download", name),
      download,
      f"Run `apt-get update` and the same command again, or {by_hand}.",
    )
    archives = sorted(download.glob("*.deb"))
    if len(archives) != 1:
      raise UserError(
        f"`apt-get download {name}` left {len(archives)} archives, expected one: "
        f"{by_hand}."
      )
    (archive,) = archives
    again = (
      f"Make room if the disk is full, and run the same command again, or {by_hand}."
    )
    version = _run(("dpkg-deb", "-f", str(archive), "Version"), download, again)
    with staged_folder(target) as staging:
      _run(("dpkg-deb", "-x", str(archive), str(staging)), download, again)
      marker = {"version": version.strip(), "sha256": sha256_of_file(archive)}
      atomic.write_json(staging / MARKER, marker)
  finally:
    shutil.rmtree(download, ignore_errors=True)


def _run(command: tuple[str, ...], folder: pathlib.Path, remedy: str) -> str:
  """Runs a program and returns its output.

  Raises:
    UserError: if it fails, with its last line of output.
  """
  result = subprocess.run(
    command,
    cwd=folder,
    env={**os.environ, "LC_ALL": "C"},
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
    errors="replace",
    check=False,
  )
  if result.returncode:
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else f"exit code {result.returncode}"
    raise UserError(f"`{' '.join(command[:2])}` failed ({last}). {remedy}")
  return result.stdout


def _tree_sha256(folder: pathlib.Path) -> str:
  """Returns the digest of a folder's file names, sorted, and file contents."""
  paths = sorted(path for path in folder.rglob("*") if path.is_file())
  return sha256_of(
    f"{sha256_of_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths
  )


def read_license(folder: pathlib.Path, name: str) -> str:
  """Returns the licenses in a package's copyright file.

  These are the distinct short names of a machine-readable file, in order; otherwise the
  first line that names a license; otherwise "see copyright".
  """
  path = folder / "usr/share/doc" / name / "copyright"
  try:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
  except OSError:
    return "see copyright"
  if lines and lines[0].startswith("Format:"):
    fields = [line.partition(":") for line in lines]
    shorts = [value.strip() for field, _, value in fields if field == "License"]
    if any(shorts):
      return ", ".join(dict.fromkeys(filter(None, shorts)))
  for line in lines:
    if _LICENSE_NAME.search(line):
      return line.strip()
  return "see copyright"
