"""The texts to judge, and what the judges do not see: confidences and guesses."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import cast

from milan_jax._src.annotation.annotation_job import KEY
from milan_jax._src.annotation.sheet_key import (
  KeyUnit,
  Place,
  csv_text,
  place_of,
  read_key,
)
from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.tables import Row, UnitsOnce, read_rows
from milan_jax._src.models.confidence_model import NO_PATTERN
from milan_jax._src.records import Sign, Unit
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import DESCRIPTIONS
from milan_jax._src.text.wording import is_refusal

TEXTS, GUESSES, RESULTS = "texts.csv", "guesses.csv", "results.csv"
_PLACE = ("sheet", "letter")
_RESULT = (
  *_PLACE,
  *("run", "layer", "unit", "sign", "description", "confidence", "guess"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
  """What a captioner gives for the unit at a place.

  Attributes:
    unit: the unit.
    text: the description; `NO_PATTERN` where it is withheld.
    confidence: the probability that the description, or the guess, is right; None if
      unknown.
    guess: the description that is withheld; empty if none is.
  """

  unit: KeyUnit
  text: str
  confidence: float | None
  guess: str

  @property
  def withheld(self) -> bool:
    """Whether no description is given for the unit."""
    return is_refusal(self.text)

  @property
  def candidate(self) -> str:
    """The description that the confidence is of."""
    return self.guess if self.withheld else self.text


def write_texts(workdir: pathlib.Path, descriptions: str) -> None:
  """Writes `texts.csv` for the judges, and `results.csv` and `guesses.csv`.

  Args:
    workdir: the folder of the sheets, with their key.
    descriptions: files that `milan-describe` wrote, comma-separated, each as
      `NETWORK=FILE` or, if its folder has the network's name, as `FILE`.

  Raises:
    UserError: if a file cannot be read, or a unit of the key is in none of them.
  """
  key = read_key(workdir / KEY)
  runs = _read_all(descriptions)
  for unit in key.values():
    if unit.run not in runs:
      raise UserError(
        f"--descriptions={descriptions}: expected a file for each network of the key; "
        f"found none for {unit.run}, only {', '.join(runs)}."
      )
  results = {place: _result(unit, runs[unit.run]) for place, unit in key.items()}
  shown = ((place.sheet, place.letter, each.text) for place, each in results.items())
  guesses = (
    (place.sheet, place.letter, each.guess)
    for place, each in results.items()
    if each.withheld and each.guess
  )
  atomic.write_text(workdir / TEXTS, csv_text((*_PLACE, "description"), shown))
  atomic.write_text(workdir / GUESSES, csv_text((*_PLACE, "guess"), guesses))
  atomic.write_text(workdir / RESULTS, _results_text(results))
  withheld = sum(each.withheld for each in results.values())
  say(
    f"{workdir / TEXTS}: {len(results)} units, {withheld} of them withheld. Keep "
    f"{RESULTS} and {GUESSES} from the judges."
  )


def _read_all(descriptions: str) -> dict[str, dict[Unit, Row]]:
  """The rows of each network's units."""
  runs: dict[str, dict[Unit, Row]] = {}
  for name, path in named_paths(descriptions, "descriptions", DESCRIPTIONS).items():
    once = UnitsOnce()
    rows = read_rows(
      path,
      ("layer", "unit", "description"),
      optional=("confidence", "guess", "sign"),
    )
    runs[name] = {once.check(row): row for row in rows}
  return runs


def named_paths(text: str, flag: str, inside: str) -> dict[str, pathlib.Path]:
  """Paths by the networks' names.

  Args:
    text: comma-separated, each `NETWORK=PATH`, or a path below a folder of the
      network's name.
    flag: the option that they are from, for messages.
    inside: name of the path in a run directory.

  Raises:
    UserError: if two paths are of one network.
  """
  found: dict[str, pathlib.Path] = {}
  for part in text.split(","):
    name, equals, given = part.strip().partition("=")
    path = pathlib.Path(given if equals else name).absolute()
    if not equals:
      name = path.parent.name if path.name == inside else path.stem
    if name in found:
      raise UserError(
        f"--{flag}={text}: two paths are of the network {name}: write NETWORK=PATH."
      )
    found[name] = path
  return found


def _result(unit: KeyUnit, rows: Mapping[Unit, Row]) -> Result:
  row = rows.get(Unit(unit.layer, unit.unit, cast(Sign, unit.sign)))
  if row is None:
    raise UserError(
      f"{unit.run}: expected a description of unit {unit.unit} of {unit.layer} ("
      f"{unit.sign}); found none: describe the exemplars that the sheets show."
    )
  text = row.values["description"].strip()
  if not text:
    raise UserError(f"{row.where}: the description is empty.")
  confidence = _probability(row.values.get("confidence", ""), row.where)
  if is_refusal(text):
    return Result(unit, NO_PATTERN, confidence, row.values.get("guess", "").strip())
  return Result(unit, text, confidence, "")


def _probability(text: str, where: str) -> float | None:
  if not text.strip():
    return None
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value <= 1:
    raise UserError(f"{where}: expected a confidence from 0 to 1; found {text!r}.")
  return value


def _results_text(results: Mapping[Place, Result]) -> str:
  return csv_text(
    _RESULT,
    (
      (
        *dataclasses.astuple(place),
        *dataclasses.astuple(each.unit),
        *(each.text, "" if each.confidence is None else each.confidence, each.guess),
      )
      for place, each in results.items()
    ),
  )


def read_results(workdir: pathlib.Path) -> dict[Place, Result]:
  """Reads what `write_texts` wrote.

  Raises:
    UserError: if it is missing or malformed.
  """
  found: dict[Place, Result] = {}
  for row in read_rows(workdir / RESULTS, _RESULT):
    unit, values = row.unit, row.values
    found[place_of(row)] = Result(
      KeyUnit(values["run"], unit.layer, unit.index, unit.sign),
      values["description"],
      _probability(values["confidence"], row.where),
      values["guess"],
    )
  return found
