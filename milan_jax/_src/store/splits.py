"""Splits of units: `split.csv` with the columns `layer,unit,split` and maybe `sign`."""

import csv
import os
import pathlib
from collections.abc import Mapping

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import atomic_path
from milan_jax._src.files.tables import UnitsOnce, read_rows
from milan_jax._src.records import Unit

COLUMNS = ("layer", "unit", "split")
FILE = "split.csv"
SIGN = "sign"


def read_split(path: str | os.PathLike[str]) -> dict[Unit, str]:
  """Reads the name of each unit's split.

  Args:
    path: the file.

  Raises:
    UserError: if the file is missing or lacks a column, a row is incomplete, or two
      rows have the same unit; the message names the line.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: expected a CSV of {','.join(COLUMNS)}, found no file.")
  once, parts = UnitsOnce(), {}
  for row in read_rows(path, COLUMNS, optional=(SIGN,)):
    part = row.values["split"].strip()
    if not part:
      raise UserError(f"{row.where}: the split is empty: fill in the unit's split")
    parts[once.check(row)] = part
  return parts


def write_split(path: str | os.PathLike[str], split: Mapping[Unit, str]) -> None:
  """Writes the part of each unit; `sign` is a column if a unit is "off"."""
  signs = any(unit.sign == "off" for unit in split)
  with (
    atomic_path(path) as staging,
    staging.open("w", encoding="utf-8", newline="") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*COLUMNS, SIGN) if signs else COLUMNS)
    for unit, part in split.items():
      sign = (unit.sign,) if signs else ()
      writer.writerow((unit.layer, unit.index, part, *sign))
