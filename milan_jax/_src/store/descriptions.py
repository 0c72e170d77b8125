"""Descriptions on disk: a journal during the run, a CSV file at the end."""

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import atomic_path
from milan_jax._src.files.json_files import CHECKSUM, checksum_matches, with_checksum
from milan_jax._src.records import Description, Hypothesis, Unit

# Other tools read the first three columns.
COLUMNS = (
  *("layer", "unit", "description"),
  *("score", "log_prob", "lm_log_prob", "dead", "margin", "confidence", "guess"),
  *("fires", "images", "sign"),
)


class Journal:
  """Descriptions in the order of decoding, one JSON line each.

  Each batch is appended as a whole and synced to disk. A killed run resumes after its
  last complete batch, and a run with a damaged line resumes before that line. The
  descriptions are not kept in memory.
  """

  def __init__(self, path: pathlib.Path, batch_size: int, *, total: int):
    """Opens a journal and drops the incomplete batch of a killed run.

    Args:
      path: the file.
      batch_size: units per batch; an incomplete batch is decoded again.
      total: units of the whole run; the last batch may be smaller than the others.
    """
    self._path = path
    self._total = total
    self._batch_size = batch_size
    self._length = 0
    if path.is_dir():
      raise UserError(f"{path} is a folder, but expected a file: remove it.")
    if path.exists():
      self._recover()

  def _recover(self) -> None:
    lines = kept = size = 0  # complete lines; bytes to keep; bytes read
    with self._path.open("rb") as file:
      for line in file:
        size += len(line)
        if not line.endswith(b"\n") or _parse(line) is None or lines == self._total:
          break
        lines += 1
        if lines % self._batch_size == 0 or lines == self._total:
          self._length, kept = lines, size
    if kept < self._path.stat().st_size:
      os.truncate(self._path, kept)

  def __len__(self) -> int:
    return self._length

  def __iter__(self) -> Iterator[Description]:
    """Reads the descriptions written so far, one at a time."""
    return read_journal(self._path) if self._length else iter(())

  def append(self, batch: Iterable[Description]) -> None:
    """Appends a batch and syncs it to disk."""
    batch = list(batch)
    entries = (with_checksum(dataclasses.asdict(entry)) for entry in batch)
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    with self._path.open("ab") as file:
      file.write(lines.encode())
      file.flush()
      os.fsync(file.fileno())
    self._length += len(batch)


def read_journal(path: pathlib.Path) -> Iterator[Description]:
  """Reads the descriptions of a journal, one at a time.

  Raises:
    UserError: if a line is damaged.
  """
  with path.open("rb") as file:
    for number, line in enumerate(file, 1):
      entry = _parse(line)
      if entry is None:
        raise UserError(
          f"{path}, line {number} is damaged: run the command that wrote it again to "
          "resume from there."
        )
      yield entry


def _parse(line: bytes) -> Description | None:
  """Parses a line; returns None if it is invalid or does not match its checksum."""
  try:
    entry = json.loads(line)
    if not checksum_matches(entry):
      return None
    entry.pop(CHECKSUM, None)
    # Runs of earlier versions have no hypotheses.
    beam = tuple(Hypothesis(**each) for each in entry.pop("hypotheses", ()))
    return Description(unit=Unit(**entry.pop("unit")), **entry, hypotheses=beam)
  except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
    return None


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.6f}"


def write_descriptions(path: pathlib.Path, descriptions: Iterable[Description]) -> None:
  """Writes `layer,unit,description` and the scores, in nats, as a CSV.

  Args:
    path: the file; it is replaced.
    descriptions: one per unit.
  """
  with (
    atomic_path(path) as staging,
    staging.open("w", encoding="utf-8", newline="") as file,
  ):
    file.writelines(_csv_lines(descriptions))


def descriptions_are_whole(
  path: pathlib.Path, descriptions: Iterable[Description]
) -> bool:
  """Returns whether a CSV is what `write_descriptions` writes for descriptions."""
  try:
    with path.open(newline="", encoding="utf-8") as file:
      for text in _csv_lines(descriptions):
        if file.read(len(text)) != text:
          return False
      return not file.read(1)
  except (OSError, ValueError):
    return False


def _csv_lines(descriptions: Iterable[Description]) -> Iterator[str]:
  line = io.StringIO()
  writer = csv.writer(line, lineterminator="\n")
  writer.writerow(COLUMNS)
  yield line.getvalue()
  for entry in descriptions:
    line.seek(0)
    line.truncate()
    writer.writerow(
      [
        entry.unit.layer,
        entry.unit.index,
        entry.text,
        _number(entry.score),
        _number(entry.log_prob),
        _number(entry.lm_log_prob),
        int(entry.dead),
        _number(entry.margin),
        _number(entry.confidence),
        entry.guess or "",
        "" if entry.fires is None else entry.fires,
        "" if entry.images is None else entry.images,
        entry.unit.sign,
      ]
    )
    yield line.getvalue()
