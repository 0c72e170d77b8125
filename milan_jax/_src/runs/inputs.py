"""The inputs of a run, by content: changes are detected, copies count as the same.

Each input is a table of parts, such as the images of a folder or the parameters of a
network, and each part has a digest. A run directory has a digest of each table in
`config.json`, and the tables in `inputs.npz`, so that a change can be named. The tables
also have the sizes and times of files: while these are the same, a file is not read.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of, sha256_of_file

FILE = "inputs.npz"
_DIGEST_BYTES = 16
_THREADS = 4
# Number of files per task of a thread.
_TOGETHER = 64
# Nanoseconds. A file that is rewritten within this interval may keep its times, so the
# recorded times of a file that was modified so recently are not trusted.
_TOO_SOON = 2_000_000_000
_NOT_THERE = np.zeros(4, np.int64)

Files = Sequence[tuple[str, pathlib.Path]]
Progress = Callable[[int, int], None]
# Returns the digest of a file by its name and signature; None if it must be read.
Known = Callable[[str, Int64[np.ndarray, "4"]], bytes | None]


def _nothing_known(part: str, signature: Int64[np.ndarray, "4"]) -> bytes | None:
  return None


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Input:
  """An input of a run, part by part.

  Attributes:
    option: the option that names it, such as `--images`.
    kind: what its parts are called, such as `pictures`.
    names: of the parts, in their order.
    digests: of their contents.
    signatures: size, two times and inode of each part that is a file; zeros for a file
      that cannot be read. None where the parts are not files.
    question: asked in the message about a change; empty for none.
  """

  option: str
  kind: str
  names: tuple[str, ...]
  digests: UInt8[np.ndarray, "parts 16"]
  signatures: Int64[np.ndarray, "parts 4"] | None = None
  question: str = ""

  def summary(self) -> dict[str, Any]:
    """Returns the input's entry in `config.json`."""
    digest = sha256_of(
      _bytes(name) + b"\0" + part.tobytes()
      for name, part in zip(self.names, self.digests, strict=True)
    )
    return {"parts": len(self.names), "sha256": digest}


class Tables:
  """The tables of parts in a run directory, by input.

  A missing or damaged file counts as empty: a change is still detected (by
  `config.json`) but cannot be named, and all files are read again.
  """

  def __init__(self, folder: pathlib.Path):
    """Reads the tables of a run directory, which may have none yet."""
    self._arrays: dict[str, np.ndarray] = {}
    self._noted = 0
    try:
      self._noted = (folder / FILE).stat().st_mtime_ns
      with (folder / FILE).open("rb") as file, np.load(file) as archive:
        self._arrays = dict(archive)
    except Exception:  # of many kinds
      self._arrays = {}

  def digests(self, name: str) -> dict[str, bytes] | None:
    """Returns the digest of each part of an input; None if unknown."""
    try:
      names = _split(self._arrays[f"{name}.names"])
      rows = self._arrays[f"{name}.digests"]
      return dict(zip(names, map(bytes, rows), strict=True))
    except (KeyError, TypeError, ValueError):
      return None

  def known(self, name: str) -> Known:
    """Returns the function that finds an input's digests by name and signature."""
    digests = self.digests(name)
    signatures = self._arrays.get(f"{name}.signatures")
    if digests is None or signatures is None or signatures.shape != (len(digests), 4):
      return _nothing_known
    rows = {part: row for row, part in enumerate(digests)}
    settled = signatures[:, 1:3].max(1) < self._noted - _TOO_SOON
    settled &= signatures.any(1)

    def known(part: str, signature: Int64[np.ndarray, "4"]) -> bytes | None:
      row = rows.get(part, -1)
      same = row >= 0 and settled[row] and np.array_equal(signatures[row], signature)
      return digests[part] if same else None

    return known


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Identity:
  """All inputs of a run.

  Attributes:
    inputs: the inputs by name; of several that changed, the first is reported.
    answers: statistics of each layer's activations on a trial batch: they change with
      the network's code, which parameters do not show.
    model: the value of the option that names the network.
    tolerance: maximum difference of the answers, relative to the first of them (the
      scale of the activations): they differ between machines.
  """

  inputs: Mapping[str, Input]
  answers: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
  model: str = ""
  tolerance: float = 0.0

  def record(self) -> dict[str, Any]:
    """Returns the entry `inputs` of `config.json`."""
    found = {name: one.summary() for name, one in self.inputs.items()}
    return found | ({"answers": dict(self.answers)} if self.answers else {})

  def change(self, recorded: Mapping[str, Any], tables: Tables) -> str:
    """Describes in one sentence what has changed; empty if nothing has.

    Args:
      recorded: the entry of `config.json`.
      tables: those of the run directory.
    """
    for name, found in self.inputs.items():
      if recorded.get(name) != found.summary():
        before = tables.digests(name) if name in recorded else None
        return difference(found, before)
    for layer, now in self.answers.items():
      before = recorded.get("answers", {}).get(layer)
      if before is None or not _alike(now, before, self.tolerance):
        return (
          f"--model={self.model}: layer {layer} gives other activations for the same "
          "images than when this run began (did the model's code or weights change, or "
          "is it made at random and not seeded?)"
        )
    gone = sorted(recorded.keys() - self.inputs.keys() - {"answers"})
    return f"this run began with other inputs ({', '.join(gone)})" if gone else ""

  def save_tables(self, folder: pathlib.Path) -> None:
    """Writes the tables of all inputs into a run directory."""
    save_tables(folder, self.inputs)


def _alike(now: Sequence[float], before: Sequence[float], tolerance: float) -> bool:
  if len(now) != len(before):
    return False
  far = np.abs(np.subtract(now, before)).max()
  return bool(far <= tolerance * max(now[0], before[0]))


def save_tables(folder: pathlib.Path, inputs: Mapping[str, Input]) -> None:
  """Writes the tables into a run directory."""
  arrays: dict[str, np.ndarray] = {}
  for name, found in inputs.items():
    arrays[f"{name}.names"] = np.frombuffer(
      b"\0".join(map(_bytes, found.names)), np.uint8
    )
    arrays[f"{name}.digests"] = found.digests
    if found.signatures is not None:
      arrays[f"{name}.signatures"] = found.signatures
  atomic.write_npz(folder / FILE, arrays)


def of_files(
  option: str,
  kind: str,
  files: Files,
  *,
  known: Known = _nothing_known,
  progress: Progress = lambda done, total: None,
  question: str = "",
) -> Input:
  """Makes an input of files, by their content.

  Args:
    option: the option that names it.
    kind: what the files are called.
    files: name, which does not depend on the location, and path of each. A file that
      cannot be read differs from any that can.
    known: finds digests by names and signatures, as `Tables.known` does.
    progress: called with the number of files done and their total.
    question: asked in the message about a change.
  """
  digests = np.zeros((len(files), _DIGEST_BYTES), np.uint8)
  signatures = np.zeros((len(files), 4), np.int64)

  def digest(rows: range) -> None:
    for row in rows:
      name, path = files[row]
      signatures[row], found = _digest_file(name, path, known)
      digests[row] = np.frombuffer(found, np.uint8)

  starts = range(0, len(files), _TOGETHER)
  parts = [range(start, min(start + _TOGETHER, len(files))) for start in starts]
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    for part, _ in zip(parts, pool.map(digest, parts), strict=True):
      progress(part.stop, len(files))
  names = tuple(name for name, _ in files)
  return Input(option, kind, names, digests, signatures, question)


def of_contents(
  option: str,
  kind: str,
  contents: Iterable[tuple[str, bytes | np.ndarray]],
  *,
  question: str = "",
) -> Input:
  """Makes an input of parts in memory: bytes, or arrays with their dtypes and shapes.

  Args:
    option: the option that names it.
    kind: what its parts are called.
    contents: name and content of each.
    question: asked in the message about a change.
  """
  names, digests = [], []
  for name, content in contents:
    parts = [content]
    if isinstance(content, np.ndarray):
      parts.insert(0, f"{content.dtype} {content.shape}".encode())
    names.append(name)
    digests.append(np.frombuffer(_short(sha256_of(parts)), np.uint8))
  table = np.array(digests, np.uint8).reshape(len(names), _DIGEST_BYTES)
  return Input(option, kind, tuple(names), table, None, question)


def difference(found: Input, before: Mapping[str, bytes] | None) -> str:
  """Describes in one sentence how an input has changed.

  Args:
    found: the input.
    before: the digest of each part as it was; None if unknown.
  """
  now = dict(zip(found.names, map(bytes, found.digests), strict=True))
  question = f" ({found.question})" if found.question else ""
  old = before or {}
  changed = [name for name in now if name in old and old[name] != now[name]]
  gone = [name for name in old if name not in now]
  new = [name for name in now if name not in old]
  if before is None or not (changed or gone or new):
    words = f"the {found.kind} are not those that this run began with"
  elif len(now) == len(old) == 1 and changed:
    words = f"{changed[0]} changed since this run began"
  else:
    counts = (
      f"{len(changed)} of {len(old)} {found.kind} changed" if changed else "",
      f"{len(gone)} of {len(old)} {found.kind} gone" if gone else "",
      f"{_counted(len(new), found.kind)} added" if new else "",
    )
    first = (*changed, *gone, *new)[0]
    words = f"{', '.join(filter(None, counts))} since this run began, first {first}"
  return f"{found.option}: {words}{question}"


def _counted(number: int, kind: str) -> str:
  """`1 picture`, `2 pictures`."""
  what, *rest = kind.split(" ", 1)
  return " ".join([str(number), what.removesuffix("s") if number == 1 else what, *rest])


def _digest_file(
  name: str, path: pathlib.Path, known: Known
) -> tuple[Int64[np.ndarray, "4"], bytes]:
  try:
    about = path.stat()
    number = about.st_ino & np.iinfo(np.int64).max
    signature = np.array(
      [about.st_size, about.st_mtime_ns, about.st_ctime_ns, number], np.int64
    )
    found = known(name, signature)
    if found is None:
      found = _short(sha256_of_file(path))
    return signature, found
  except OSError:
    return _NOT_THERE, bytes(_DIGEST_BYTES)


def _short(digest: str) -> bytes:
  return bytes.fromhex(digest)[:_DIGEST_BYTES]


def _bytes(name: str) -> bytes:
  return os.fsencode(name)


def _split(names: np.ndarray) -> list[str]:
  return [os.fsdecode(name) for name in names.tobytes().split(b"\0")]
