"""The key of the contact sheets, `key.csv`: the unit at each sheet and letter."""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Sequence

import numpy as np

from milan_jax._src.annotation.contact_sheet import LETTERS
from milan_jax._src.annotation.drawn_regions import DrawnUnit
from milan_jax._src.errors import UserError
from milan_jax._src.files.plain_text import whole_number
from milan_jax._src.files.tables import Row, read_rows

COLUMNS = ("sheet", "letter", "run", "layer", "unit", "sign")
SIGNS = ("on", "off")


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Place:
  """A position in the contact sheets, such as sheet 12, letter C."""

  sheet: int
  letter: str


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class KeyUnit:
  """The unit at a place, with the name of its exemplar set."""

  run: str
  layer: str
  unit: int
  sign: str


def arrange(
  units: Sequence[DrawnUnit], *, twice: int, per_sheet: int, seed: int
) -> list[list[DrawnUnit]]:
  """Arranges units on sheets in random order, some of them on additional sheets.

  Args:
    units: all units.
    twice: number of units that are shown again, on additional sheets.
    per_sheet: number of units per sheet.
    seed: seed of the order and of the units shown twice.

  Raises:
    UserError: if there are fewer than `twice` units, or `per_sheet` is out of range.
  """
  if not 1 <= per_sheet <= len(LETTERS):
    raise UserError(
      f"--units_per_sheet={per_sheet}: expected a number from 1 to {len(LETTERS)}."
    )
  if not 0 <= twice <= len(units):
    raise UserError(
      f"--twice={twice}: expected a number from 0 to {len(units)}, the units that are "
      "drawn."
    )
  rng = np.random.default_rng([seed, 1])
  order = rng.permutation(len(units))
  again = rng.permutation(len(units))[:twice]
  return [
    [units[index] for index in one[first : first + per_sheet]]
    for one in (order, again)
    for first in range(0, len(one), per_sheet)
  ]


def places_of(sheets: Sequence[Sequence[DrawnUnit]]) -> dict[Place, KeyUnit]:
  """Returns the unit at each place; sheets are numbered from 1."""
  return {
    Place(number, letter): KeyUnit(unit.run, unit.layer, unit.unit, unit.sign)
    for number, sheet in enumerate(sheets, 1)
    for letter, unit in zip(LETTERS, sheet, strict=False)
  }


def sheet_file(number: int) -> str:
  """Returns the file name of a sheet."""
  return f"{number:03d}.png"


def key_text(key: dict[Place, KeyUnit]) -> str:
  """Returns the key as CSV."""
  return csv_text(
    COLUMNS,
    ((*dataclasses.astuple(place), *dataclasses.astuple(key[place])) for place in key),
  )


def csv_text(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
  """Returns a table as CSV, with the columns in the first line."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator="\n")
  writer.writerow(columns)
  writer.writerows(rows)
  return file.getvalue()


def read_key(path: str | os.PathLike[str]) -> dict[Place, KeyUnit]:
  """Reads a key.

  Raises:
    UserError: if it cannot be read, lacks a column, has a malformed row, or has a
      place twice.
  """
  key: dict[Place, KeyUnit] = {}
  for row in read_rows(path, COLUMNS):
    place, unit, sign = place_of(row), row.unit, row.values["sign"]
    if sign not in SIGNS:
      raise UserError(f"{row.where}: expected the sign on or off; found {sign!r}.")
    if place in key:
      raise UserError(
        f"{row.where}: sheet {place.sheet}, letter {place.letter} occurs twice: use "
        "the key.csv that was written with the sheets."
      )
    key[place] = KeyUnit(row.values["run"], unit.layer, unit.index, sign)
  if not key:
    raise UserError(f"{path} has no units: use the key.csv written with the sheets.")
  return key


def place_of(row: Row) -> Place:
  """Returns the place in the columns `sheet` and `letter` of a row.

  Raises:
    UserError: if the sheet is not a number, or the letter not one of `LETTERS`.
  """
  sheet = whole_number(row.values["sheet"])
  letter = row.values["letter"].strip().upper()
  if sheet is None or len(letter) != 1 or letter not in LETTERS:
    raise UserError(
      f"{row.where}: expected a sheet's number and a letter from {LETTERS[0]} to "
      f"{LETTERS[-1]}; found {row.values['sheet']!r} and {row.values['letter']!r}."
    )
  return Place(sheet, letter)
