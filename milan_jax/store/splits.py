"""Given splits of annotated units: `split.csv` with the columns `layer,unit,split`."""

import csv
import os
import pathlib

from milan_jax.errors import UserError
from milan_jax.records import Unit

COLUMNS = ("layer", "unit", "split")
FILE = "split.csv"


def read_split(path: str | os.PathLike[str]) -> dict[Unit, str]:
  """Reads the part of each unit, by its name.

  Args:
    path: the file.

  Raises:
    UserError: if the file is missing, has other columns, or a row is cut short.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: expected a CSV of {','.join(COLUMNS)}, found no file.")
  with path.open(newline="", encoding="utf-8") as file:
    reader = csv.DictReader(file)
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
      raise UserError(
        f"{path}: the first line must name the columns {','.join(COLUMNS)}, found "
        f"{','.join(reader.fieldnames or ())}."
      )
    parts = {}
    for row in reader:
      if not row["unit"] or not row["unit"].isdecimal() or not row["split"]:
        raise UserError(
          f"{path}, line {reader.line_num}: expected a layer, a unit's number and its "
          f"split, found {','.join(str(row[name]) for name in COLUMNS)}."
        )
      parts[Unit(row["layer"], int(row["unit"]))] = row["split"]
  return parts
