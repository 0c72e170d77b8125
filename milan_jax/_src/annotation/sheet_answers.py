"""Reads and cleans the annotators' answers about units of contact sheets.

An answer is dropped if it

* has no letters (it is empty or a dash);
* is longer than `MOST_WORDS` words;
* gives persons a color or judges their appearance;
* was written while its unit was shown for less than `min_seconds`, where that is known;
* is a copy: it is the same for `SAME_ON_SHEET` or more units of one sheet, or for more
  than `SAME_AT_ALL` units of one file, and does not state that the regions have nothing
  in common;
* repeats another description of its unit.
"""

import collections
import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from milan_jax._src.annotation.sheet_key import KeyUnit, Place, place_of
from milan_jax._src.errors import UserError
from milan_jax._src.files.tables import Row, read_rows
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.wording import NOTHING_PHRASES, is_refusal, words

COLUMNS = ("sheet", "letter", "summary")
# Written by the page: how long a unit was shown.
SECONDS = "seconds"
MOST_WORDS = 60
SAME_ON_SHEET = 3
SAME_AT_ALL = 20
REPEATED = "repeats a description of the unit"
_NOTHING = frozenset(words(phrase) for phrase in NOTHING_PHRASES)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
  """An annotator's description of one unit.

  Attributes:
    place: sheet and letter of the unit.
    text: the summary, with single spaces.
    file: path of the file with the answer.
    where: file and line, for messages.
    seconds: for how long the unit was shown; None if that is not known.
  """

  place: Place
  text: str
  file: str
  where: str
  seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
  """A dropped answer, with the reason."""

  answer: Answer
  reason: str


def read_answers(
  paths: Iterable[str | os.PathLike[str]], key: Mapping[Place, KeyUnit]
) -> list[Answer]:
  """Reads files of answers.

  Args:
    paths: CSV files with the columns sheet, letter, summary and, if known, seconds.
    key: the units that may be described.

  Raises:
    UserError: if a file cannot be read or lacks a column, a row names a sheet or a
      letter that is not in the key, or its seconds are not a number.
  """
  answers = []
  for path in paths:
    for row in read_rows(path, COLUMNS, optional=(SECONDS,)):
      place = place_of(row)
      if place not in key:
        known = sorted({each.sheet for each in key})
        what, others = (
          f"sheet {place.sheet}",
          f"its sheets are {known[0]} to {known[-1]}",
        )
        if place.sheet in known:
          letters = sorted(each.letter for each in key if each.sheet == place.sheet)
          what = f"letter {place.letter} on sheet {place.sheet}"
          others = f"that sheet has {', '.join(letters)}"
        raise UserError(
          f"{row.where}: the key has no {what}; {others}: correct the row, or use the "
          "key.csv that was written with these sheets."
        )
      text = " ".join(row.values["summary"].split())
      answers.append(Answer(place, text, str(path), row.where, _seconds(row)))
  return answers


def _seconds(row: Row) -> float | None:
  text = row.values.get(SECONDS, "").strip()
  try:
    seconds = float(text) if text else None
  except ValueError:
    seconds = math.nan
  if seconds is not None and not 0 <= seconds < math.inf:
    raise UserError(f"{row.where}: expected seconds from 0; found {text!r}.")
  return seconds


def is_nothing(text: str) -> bool:
  """Returns whether a text states that a unit's regions have nothing in common."""
  return is_refusal(text) or words(text) in _NOTHING


def clean(
  answers: Sequence[Answer], key: Mapping[Place, KeyUnit], *, min_seconds: float = 0.0
) -> tuple[list[Answer], list[Dropped]]:
  """Separates the answers to keep from those to drop.

  Args:
    answers: the answers of all annotators, in the order of the files.
    key: the unit at each place.
    min_seconds: the least time for which a unit must have been shown.

  Returns:
    The answers kept, and those dropped with the reasons, both in the given order.
  """
  copied = _copied(answers)
  kept, dropped = [], []
  seen: set[tuple[KeyUnit, tuple[str, ...]]] = set()
  for answer in answers:
    unit, spoken = key[answer.place], words(answer.text)
    reason = ""
    if not spoken:
      reason = "empty"
    elif len(re.findall(r"\S+", answer.text)) > MOST_WORDS:
      reason = f"longer than {MOST_WORDS} words"
    elif judges_persons(answer.text):
      reason = "gives persons a color or judges them"
    elif answer.seconds is not None and answer.seconds < min_seconds:
      reason = f"written in less than {min_seconds:g} seconds"
    elif _same_on_sheet(answer) in copied or _same_at_all(answer) in copied:
      reason = "copied unchanged over many units"
    elif (unit, spoken) in seen:
      reason = REPEATED
    if reason:
      dropped.append(Dropped(answer, reason))
    else:
      seen.add((unit, spoken))
      kept.append(answer)
  return kept, dropped


def _copied(answers: Iterable[Answer]) -> set[tuple[object, ...]]:
  said = [each for each in answers if words(each.text) and not is_nothing(each.text)]
  on_sheet = collections.Counter(map(_same_on_sheet, said))
  at_all = collections.Counter(map(_same_at_all, said))
  return {text for text, number in on_sheet.items() if number >= SAME_ON_SHEET} | {
    text for text, number in at_all.items() if number > SAME_AT_ALL
  }


def _same_on_sheet(answer: Answer) -> tuple[object, ...]:
  return answer.file, answer.place.sheet, words(answer.text)


def _same_at_all(answer: Answer) -> tuple[object, ...]:
  return answer.file, words(answer.text)
