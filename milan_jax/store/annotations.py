"""Human annotations: `annotations.csv` with the columns `layer,unit,summary`."""

import csv
import io
import os
import pathlib
from collections.abc import Mapping, Sequence

from milan_jax.errors import UserError
from milan_jax.records import Unit
from milan_jax.store import atomic

COLUMNS = ("layer", "unit", "summary")


def read_annotations(path: str | os.PathLike[str]) -> dict[Unit, tuple[str, ...]]:
  """Reads the descriptions of each unit, in the order of the file.

  Layer names are strings, those that look like numbers too: the original turns "3" into
  a number and then finds no annotation of layer "3". Further columns are ignored.

  Args:
    path: the file, or a folder that holds an `annotations.csv`.

  Raises:
    UserError: if the file is missing, has other columns, or has a row that is cut
      short, has no layer or no summary, or names no unit; the line is named.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / "annotations.csv"
  if not path.is_file():
    raise UserError(
      f"annotations are expected at {path}, but no file is there: give a CSV file with "
      f"the columns {','.join(COLUMNS)}"
    )
  annotations: dict[Unit, list[str]] = {}
  reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
  try:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
      raise UserError(
        f"{path}: the first line must name the columns {','.join(COLUMNS)}, but "
        f"{','.join(missing)} is not there"
      )
    for row in reader:
      unit, summary = _parse(row, f"{path}, line {reader.line_num}")
      annotations.setdefault(unit, []).append(summary)
  except csv.Error as error:
    raise UserError(
      f"{path}: what follows line {reader.line_num} is no CSV: {error}"
    ) from error
  if not annotations:
    raise UserError(f"{path} holds no annotation, only the names of the columns")
  return {unit: tuple(summaries) for unit, summaries in annotations.items()}


def _text(path: pathlib.Path) -> str:
  data = path.read_bytes()
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    line = data.count(b"\n", 0, error.start) + 1
    raise UserError(
      f"{path}, line {line}: not UTF-8 ({error.reason}): save the file as UTF-8"
    ) from error


def _parse(row: Mapping[str | None, str | None], where: str) -> tuple[Unit, str]:
  layer, index, summary = (row[name] for name in COLUMNS)
  if layer is None or index is None or summary is None or None in row:
    raise UserError(
      f"{where}: expected as many fields as columns; a summary with commas must be "
      "quoted"
    )
  if not layer.strip():
    raise UserError(f"{where}: the layer is empty")
  if not index.strip().isdecimal():
    raise UserError(f"{where}: a unit is a whole number from 0, but got {index!r}")
  if not summary.strip():
    raise UserError(f"{where}: the summary is empty: describe the unit or drop the row")
  return Unit(layer.strip(), int(index)), summary


def write_annotations(
  path: str | os.PathLike[str], annotations: Mapping[Unit, Sequence[str]]
) -> None:
  """Writes `layer,unit,summary`, one row a summary, in the order given."""
  with (
    atomic.atomic_path(path) as aside,
    aside.open("w", encoding="utf-8", newline="") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for unit, summaries in annotations.items():
      writer.writerows((unit.layer, unit.index, summary) for summary in summaries)
