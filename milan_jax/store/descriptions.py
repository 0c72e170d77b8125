"""Descriptions on disk: a journal while they are made, a CSV when they are done."""

import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

from milan_jax.errors import UserError
from milan_jax.records import Description, Unit
from milan_jax.store.atomic import atomic_path
from milan_jax.store.tables import UnitsOnce, read_rows

# The first three columns are what other tools read.
COLUMNS = (
  *("layer", "unit", "description"),
  *("score", "log_prob", "lm_log_prob", "dead", "margin", "confidence", "guess"),
  *("fires", "images"),
)


class Journal:
  """Descriptions in the order in which they are made, one JSON line each.

  A batch is appended whole and flushed to the disk, so that a run that is killed at
  any moment goes on after its last whole batch. Memory holds none of them.
  """

  def __init__(self, path: pathlib.Path, batch_size: int, *, total: int):
    """Opens a journal, dropping what a killed run left unfinished.

    Args:
      path: the file.
      batch_size: units appended together; a part of a batch is made again.
      total: units of the whole run; the last batch may be smaller than the others.
    """
    self._path = path
    self._total = total
    self._batch_size = batch_size
    self._length = 0
    if path.exists():
      self._recover()

  def _recover(self) -> None:
    lines = kept = size = 0  # whole lines; bytes to keep; bytes read
    with self._path.open("rb") as file:
      for line in file:
        size += len(line)
        if not line.endswith(b"\n"):
          break
        lines += 1
        if lines % self._batch_size == 0 or lines == self._total:
          self._length, kept = lines, size
    if kept < self._path.stat().st_size:
      os.truncate(self._path, kept)

  def __len__(self) -> int:
    return self._length

  def __iter__(self) -> Iterator[Description]:
    """Reads everything described so far, one after another."""
    if not self._length:
      return
    with self._path.open() as file:
      for line in file:
        entry = json.loads(line)
        yield Description(unit=Unit(**entry.pop("unit")), **entry)

  def append(self, batch: Iterable[Description]) -> None:
    """Appends a batch; on return it is on the disk."""
    batch = list(batch)
    lines = "".join(json.dumps(dataclasses.asdict(entry)) + "\n" for entry in batch)
    with self._path.open("ab") as file:
      file.write(lines.encode())
      file.flush()
      os.fsync(file.fileno())
    self._length += len(batch)


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.6f}"


def write_descriptions(path: pathlib.Path, descriptions: Iterable[Description]) -> None:
  """Writes `layer,unit,description` and the scores, in nats, as a CSV.

  Args:
    path: the file, replaced whole.
    descriptions: one per unit.
  """
  with atomic_path(path) as aside, aside.open("w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in descriptions:
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
        ]
      )


def read_descriptions(path: str | pathlib.Path) -> dict[Unit, str]:
  """Reads `layer,unit,description` from a CSV, ours or the original's.

  Raises:
    UserError: no such file, columns are missing, a row is cut short, or two are of one
      unit; the line is named.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: expected a CSV of descriptions, found no such file.")
  once = UnitsOnce()
  return {
    once.check(row): row.values["description"]
    for row in read_rows(path, ("layer", "unit", "description"))
  }
