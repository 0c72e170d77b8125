"""Verdicts of judges who see a unit's sheet and the text, and nothing else."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping

from milan_jax._src.annotation.sheet_key import Place, place_of
from milan_jax._src.errors import UserError
from milan_jax._src.files.tables import Row, read_rows
from milan_jax._src.lab.annotation.judged_texts import Result

# Of a description, of nothing said, and of a guess that was withheld.
OF_TEXT = ("right", "partly", "wrong")
OF_NOTHING = ("rightly", "wrongly")
VERDICT, GUESS_VERDICT = "verdict", "guess_verdict"


@dataclasses.dataclass(frozen=True, slots=True)
class JudgedUnit:
  """A unit with its text and all verdicts.

  Attributes:
    result: the text and what belongs to it.
    verdicts: of the text, one per judge.
    guess_verdicts: of the guess that was withheld, one per judge; may be empty.
  """

  result: Result
  verdicts: tuple[str, ...]
  guess_verdicts: tuple[str, ...]

  def share(self, *verdicts: str) -> float:
    """The fraction of judges who gave one of some verdicts of the text."""
    return sum(each in verdicts for each in self.verdicts) / len(self.verdicts)

  @property
  def of_candidate(self) -> tuple[str, ...]:
    """The verdicts of the description that the confidence is of; may be empty."""
    return self.guess_verdicts if self.result.withheld else self.verdicts


def read_verdicts(
  paths: Iterable[pathlib.Path], results: Mapping[Place, Result]
) -> list[JudgedUnit]:
  """Reads the verdicts of one judge or several.

  Args:
    paths: CSV files with the columns sheet and letter, and verdict, guess_verdict or
      both. Several judges of one unit have a file each. An empty field is not a
      verdict.
    results: the texts that were judged.

  Returns:
    The units with a verdict, in the order of `results`.

  Raises:
    UserError: if a file cannot be read, names an unknown place, has an unknown verdict
      or two of one unit, or there is no verdict at all.
  """
  found: dict[str, dict[Place, list[str]]] = {
    column: collections.defaultdict(list) for column in (VERDICT, GUESS_VERDICT)
  }
  paths = list(paths)
  for path in paths:
    seen = set()
    for row in read_rows(path, ("sheet", "letter"), optional=(VERDICT, GUESS_VERDICT)):
      place = place_of(row)
      if place not in results:
        raise UserError(
          f"{row.where}: sheet {place.sheet} has no letter {place.letter}: give the "
          "--workdir of these sheets."
        )
      for column, all_of_it in found.items():
        verdict = row.values.get(column, "").strip().lower()
        if verdict:
          _check(verdict, column, results[place], row)
          if (place, column) in seen:
            raise UserError(
              f"{row.where}: sheet {place.sheet}, letter {place.letter} has two of "
              f"{column} in this file: write a file for each judge."
            )
          seen.add((place, column))
          all_of_it[place].append(verdict)
  if not found[VERDICT]:
    raise UserError(
      f"{', '.join(map(str, paths))}: expected verdicts in a column {VERDICT}; found "
      "none."
    )
  guesses = found[GUESS_VERDICT]
  return [
    JudgedUnit(result, tuple(found[VERDICT][place]), tuple(guesses.get(place, ())))
    for place, result in results.items()
    if place in found[VERDICT]
  ]


def _check(verdict: str, column: str, result: Result, row: Row) -> None:
  of_guess = column == GUESS_VERDICT
  if of_guess and not (result.withheld and result.guess):
    raise UserError(f"{row.where}: a {column} without a guess that was withheld.")
  known = OF_NOTHING if result.withheld and not of_guess else OF_TEXT
  if verdict not in known:
    text = result.guess if of_guess else result.text
    raise UserError(
      f"{row.where}: expected a {column} of {text!r} among {', '.join(known)}; found "
      f"{verdict!r}."
    )
