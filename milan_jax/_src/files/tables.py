"""Reads CSV tables written by people and by other programs.

Accepts any Unicode encoding; commas, semicolons or tabs as delimiters; and columns in
any order, with additional columns. Error messages name the line.
"""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import cast

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.plain_text import read_text, whole_number
from milan_jax._src.records import Sign, Unit

_DELIMITERS = ",;\t"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
  """A row of a table.

  Attributes:
    values: the fields of the requested columns, by column name.
    where: file and line, for messages.
  """

  values: dict[str, str]
  where: str

  @property
  def unit(self) -> Unit:
    """The unit in the columns `layer`, `unit` and, if requested, `sign`.

    Raises:
      UserError: if the layer is empty, the unit is not a non-negative integer, or the
        sign is not empty, on or off.
    """
    layer, index = self.values["layer"].strip(), self.values["unit"]
    if not layer:
      raise UserError(f"{self.where}: the layer is empty")
    number = whole_number(index)
    if number is None:
      raise UserError(
        f"{self.where}: expected a unit as a whole number from 0, but got {index!r}"
      )
    sign = self.values.get("sign", "").strip().lower() or "on"
    if sign not in ("on", "off"):
      raise UserError(f"{self.where}: expected the sign on or off, but got {sign!r}")
    return Unit(layer, number, cast(Sign, sign))


def read_rows(
  path: str | os.PathLike[str], columns: Sequence[str], *, optional: Sequence[str] = ()
) -> Iterator[Row]:
  """Reads the rows of a table whose first line names its columns.

  Args:
    path: the file.
    columns: the requested columns; their case is ignored.
    optional: columns that are read if present.

  Raises:
    UserError: if the file cannot be read, lacks a column, or a row has more or fewer
      fields than there are columns.
  """
  path = pathlib.Path(path)
  text = read_text(path)
  header, delimiter = _header(text, columns)
  missing = [name for name in columns if name not in header]
  if missing:
    raise UserError(
      f"{path}: the first line must name the columns {','.join(columns)}, but "
      f"{','.join(missing)} is missing; found {','.join(header) or 'nothing'}"
    )
  columns = [*columns, *(name for name in optional if name in header)]
  twice = [name for name in columns if header.count(name) > 1]
  if twice:
    raise UserError(f"{path}: the first line names the column {twice[0]} twice")
  columns_of = {name: header.index(name) for name in columns}
  reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
  last = 1
  try:
    next(reader)
    for fields in reader:
      if any(field.strip() for field in fields):
        where = f"{path}, line {reader.line_num}"
        if len(fields) < len(header) or any(fields[len(header) :]):
          raise UserError(
            f"{where}: expected one field per column, {len(header)}, but got "
            f"{len(fields)}; a field that contains {delimiter!r} must be quoted"
          )
        yield Row({name: fields[column] for name, column in columns_of.items()}, where)
      last = reader.line_num
  except csv.Error as error:
    raise UserError(f"{path}: invalid CSV after line {last}: {error}") from error


def _header(text: str, columns: Collection[str]) -> tuple[list[str], str]:
  """Returns the column names in the first line, and the delimiter."""
  line = text.split("\n", 1)[0]
  headers = []
  for delimiter in _DELIMITERS:
    try:
      fields = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
      fields = []
    names = [field.strip().lower() for field in fields]
    while names and not names[-1]:
      names.pop()  # spreadsheets write empty columns at the end
    headers.append((sum(name in names for name in columns), names, delimiter))
  _, names, delimiter = max(headers, key=lambda one: one[0])
  return names, delimiter


class UnitsOnce:
  """Checks that each unit appears in only one row."""

  def __init__(self) -> None:
    self._seen: dict[Unit, str] = {}

  def check(self, row: Row) -> Unit:
    """Returns the unit of a row.

    Raises:
      UserError: if an earlier row has the same unit, or as for `Row.unit`.
    """
    unit = row.unit
    if unit in self._seen:
      first = self._seen[unit].rpartition(" ")[2]
      raise UserError(
        f"{row.where}: unit {unit.index} of {unit.layer} is also in line {first}: "
        "remove one of the two"
      )
    self._seen[unit] = row.where
    return unit


def read_numbers(
  path: str | os.PathLike[str], dtype: np.dtype, shape: tuple[int, int]
) -> np.ndarray:
  """Reads a table of numbers without a header line.

  Args:
    path: the file.
    dtype: dtype of the numbers; integers must not be negative.
    shape: required numbers of rows and columns.

  Raises:
    UserError: if the file cannot be read, or is not such a table.
  """
  text = read_text(path)
  line = text.split("\n", 1)[0]
  delimiter = next((one for one in ";\t" if one in line), ",")
  if not text.strip():
    raise UserError(f"{path}: expected a table of numbers, but it is empty.")
  try:
    table = np.loadtxt(
      io.StringIO(text), delimiter=delimiter, dtype=np.float64, ndmin=2
    )
  except ValueError as error:
    raise UserError(f"{path}: expected a table of numbers ({error}).") from error
  if table.shape != shape:
    raise UserError(
      f"{path}: expected {shape[0]} rows of {shape[1]}, like the layer's arrays, "
      f"found {table.shape[0]} rows of {table.shape[1]}."
    )
  whole = np.issubdtype(dtype, np.integer)
  with np.errstate(over="ignore"):
    fits = np.isfinite(table) & np.isfinite(table.astype(np.float32))
  # A float64 cannot represent every integer beyond 2^53.
  if whole:
    fits &= (table >= 0) & (table <= 2**53) & (table == np.floor(table))
  if not fits.all():
    row, column = np.argwhere(~fits)[0].tolist()
    kind = "whole numbers from 0" if whole else "numbers"
    raise UserError(
      f"{path}, row {row + 1}: expected {kind}, found {table[row, column]:g}."
    )
  return table.astype(dtype)
