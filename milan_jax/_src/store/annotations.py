"""Human annotations: `annotations.csv` with the columns `layer,unit,summary`.

An optional fourth column, `sign`, is "off" for descriptions of what lowers a unit.
"""

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.tables import read_rows
from milan_jax._src.records import Unit

FILE = "annotations.csv"
COLUMNS = ("layer", "unit", "summary")
SIGN = "sign"


def read_annotations(path: str | os.PathLike[str]) -> dict[Unit, tuple[str, ...]]:
  """Reads the descriptions of each unit, in the order of the file.

  Layer names are always strings. The original reads "3" as a number and then finds no
  annotations of layer "3". Other columns than these and `sign` are ignored.

  Args:
    path: the file, or a folder that contains an `annotations.csv`.

  Raises:
    UserError: if the file is missing, lacks a column, or has an incomplete row or a row
      without a layer, unit or summary; the message names the line.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / "annotations.csv"
  if not path.is_file():
    raise UserError(
      f"{path}: expected a file of annotations, but there is none: give a CSV file "
      f"with the columns {','.join(COLUMNS)}"
    )
  annotations: dict[Unit, list[str]] = {}
  for row in read_rows(path, COLUMNS, optional=(SIGN,)):
    summary = row.values["summary"]
    if not summary.strip():
      raise UserError(
        f"{row.where}: the summary is empty: describe the unit or remove the row"
      )
    annotations.setdefault(row.unit, []).append(summary)
  if not annotations:
    raise UserError(f"{path} has no annotations, only the names of the columns")
  return {unit: tuple(summaries) for unit, summaries in annotations.items()}


def write_annotations(
  path: str | os.PathLike[str], annotations: Mapping[Unit, Sequence[str]]
) -> None:
  """Writes `layer,unit,summary`, one row per summary, in the given order.

  If any unit is "off", `sign` is a fourth column.
  """
  with (
    atomic.atomic_path(path) as staging,
    staging.open("w", encoding="utf-8", newline="") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    signs = any(unit.sign == "off" for unit in annotations)
    writer.writerow((*COLUMNS, SIGN) if signs else COLUMNS)
    for unit, summaries in annotations.items():
      sign = (unit.sign,) if signs else ()
      writer.writerows(
        (unit.layer, unit.index, summary, *sign) for summary in summaries
      )
