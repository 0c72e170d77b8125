"""Draws contact sheets from exemplars, and turns answers into annotations."""

import collections
import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

from milan_jax._src.annotation.agreement import agreement
from milan_jax._src.annotation.answer_page import answer_page
from milan_jax._src.annotation.contact_sheet import contact_sheet
from milan_jax._src.annotation.drawn_regions import (
  FEWEST_REGIONS,
  DrawnUnit,
  draw_units,
  regions_of,
)
from milan_jax._src.annotation.sheet_answers import (
  COLUMNS,
  REPEATED,
  Answer,
  clean,
  read_answers,
)
from milan_jax._src.annotation.sheet_key import (
  KeyUnit,
  Place,
  arrange,
  csv_text,
  key_text,
  places_of,
  read_key,
  sheet_file,
)
from milan_jax._src.annotation.spelling import corrected, misspelled
from milan_jax._src.api.stores import open_exemplars, set_name
from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.options.annotate import (
  AnnotateOptions,
  AnswerOptions,
  SheetOptions,
)
from milan_jax._src.options.fields import changed
from milan_jax._src.records import ExemplarSet
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import bar, say

SHEETS, KEY, ANSWERS, PAGE = "sheets", "key.csv", "answers.csv", "index.html"


def annotate(options: AnnotateOptions) -> None:
  """Draws contact sheets, or reads answers if `--read` is given.

  Args:
    options: the options of `milan-annotate`.

  Raises:
    UserError: if options exclude each other, or the input is bad.
  """
  drawing, reading = changed(options.sheets), changed(options.answers)
  if drawing and reading:
    raise UserError(
      f"{drawing[0]} draws sheets and {reading[0]} reads answers: give one of the two."
    )
  if reading:
    read(options.answers)
  else:
    draw(options.sheets)


def draw(options: SheetOptions) -> None:
  """Draws contact sheets of units and writes the key and a file for the answers.

  Raises:
    UserError: if no folder of exemplars is given, two folders have the same name, or
      the workdir has sheets of other units.
  """
  if not options.exemplars:
    raise UserError(
      "--exemplars: expected folders of exemplars, comma-separated, such as "
      "runs/mine/exemplars; found none."
    )
  if options.num_units is not None and options.num_units < 1:
    raise UserError(f"--num_units={options.num_units}: expected 1 or more.")
  with hold(options.workdir) as folder:
    runs = open_all(options.exemplars)
    drawn = draw_units(
      runs,
      number=options.num_units,
      off_share=options.off_share,
      seed=options.seed,
      skip=_units_of(options.skip),
    )
    if not drawn:
      others = " that --skip does not list" if options.skip else ""
      raise UserError(
        f"--exemplars={options.exemplars}: expected units with {FEWEST_REGIONS} "
        f"regions or more{others}; found none: show the network more images."
      )
    sheets = arrange(
      drawn,
      twice=options.twice,
      per_sheet=options.units_per_sheet,
      seed=options.seed,
    )
    key = places_of(sheets)
    write_key(folder, key)
    _write_answers(folder, key)
    page = answer_page(key, key=key_text(key), sheets=SHEETS)
    atomic.write_text(folder / PAGE, page)
    write_sheets(folder / SHEETS, sheets, runs)
  if options.num_units is None:
    total = sum(
      len(s.exemplars(layer).units) for s in runs.values() for layer in s.layers
    )
    if total > len(drawn):
      listed = ", or listed by --skip" if options.skip else ""
      say(
        f"skipped {total - len(drawn)} of {total} units: dead, or with fewer than "
        f"{FEWEST_REGIONS} regions{listed}"
      )
  found = collections.Counter(unit.run for unit in drawn)
  say(
    f"{folder / SHEETS}: {len(sheets)} sheets of {len(drawn)} units ("
    f"{', '.join(f'{name} {number}' for name, number in found.items())}), "
    f"{options.twice} of them twice. Open {folder / PAGE} or fill in "
    f"{folder / ANSWERS}, then run "
    f"milan-annotate --read={folder / ANSWERS} --key={folder / KEY}"
  )


def open_all(folders: str) -> dict[str, ExemplarSet]:
  """Opens the exemplar sets, by the names of their runs.

  Args:
    folders: comma-separated.

  Raises:
    UserError: if two have the same name.
  """
  runs: dict[str, ExemplarSet] = {}
  for folder in folders.split(","):
    path = pathlib.Path(folder.strip())
    name = set_name(path)
    if name in runs:
      raise UserError(
        f"--exemplars={folders}: two folders have the name {name}: rename one of them."
      )
    runs[name] = open_exemplars(path)
  return runs


def _units_of(keys: str | None) -> set[tuple[str, str, int, str]]:
  """Returns the units that keys list: set, layer, unit and sign."""
  paths = (path.strip() for path in keys.split(",")) if keys else ()
  return {
    (unit.run, unit.layer, unit.unit, unit.sign)
    for path in paths
    for unit in read_key(path).values()
  }


def write_key(folder: pathlib.Path, key: dict[Place, KeyUnit]) -> None:
  """Writes the key of sheets.

  Raises:
    UserError: if the folder has the key of other units.
  """
  text, path = key_text(key), folder / KEY
  if path.exists():
    if path.read_text(encoding="utf-8") != text:
      raise UserError(
        f"{path} lists other units than these options draw: choose another --workdir."
      )
  else:
    atomic.write_text(path, text)


def _write_answers(folder: pathlib.Path, key: dict[Place, KeyUnit]) -> None:
  """Writes a file to fill in, if it is not there."""
  if not (folder / ANSWERS).exists():
    rows = ((place.sheet, place.letter, "") for place in key)
    atomic.write_text(folder / ANSWERS, csv_text(COLUMNS, rows))


def write_sheets(
  folder: pathlib.Path,
  sheets: Sequence[Sequence[DrawnUnit]],
  runs: Mapping[str, ExemplarSet],
) -> None:
  """Writes the sheets that do not exist yet.

  Args:
    folder: folder of the sheets.
    sheets: the units on each sheet.
    runs: the units' exemplar sets, by name.
  """
  folder.mkdir(exist_ok=True)
  with bar("sheets", "sheets") as show:
    for number, units in enumerate(sheets, 1):
      path = folder / sheet_file(number)
      if not path.exists():
        regions = [regions_of(runs[unit.run], unit) for unit in units]
        atomic.write_bytes(path, contact_sheet(number, regions))
      show(number, len(sheets))


def read(options: AnswerOptions) -> None:
  """Reads answers and writes annotations; prints dropped answers and the agreement.

  Raises:
    UserError: if the answers or the key are missing or malformed, or all answers are
      dropped.
  """
  if not options.read or not options.key:
    missing = "--key" if options.read else "--read"
    what = "key.csv that was written with the sheets" if options.read else "answers.csv"
    raise UserError(f"{missing}: expected the path of the {what}; found none.")
  if not 0 <= options.min_seconds < math.inf:
    raise UserError(
      f"--min_seconds={options.min_seconds:g}: expected 0 or more seconds."
    )
  key = read_key(options.key)
  answers = read_answers([one.strip() for one in options.read.split(",")], key)
  if options.spelling != "none":
    answers = _spelled(answers, correct=options.spelling == "correct")
  kept, dropped = clean(answers, key, min_seconds=options.min_seconds)
  reasons = collections.Counter(one.reason for one in dropped)
  if not kept:
    why = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    raise UserError(
      f"{options.read}: none of {len(answers)} answers counts ({why or 'no rows'}): "
      "fill in the column summary."
    )
  _write_annotations(pathlib.Path(options.out), kept, key)
  described = {key[answer.place] for answer in kept}
  units = set(key.values())
  print(f"{len(kept)} descriptions of {len(described)} of {len(units)} units")
  for reason, number in reasons.items():
    print(f"{number} left out: {reason}")
  for one in dropped:
    if one.answer.text:
      print(f"  {one.answer.where}: {one.reason}: {one.answer.text}")
  # Two annotators who write the same agree: of these, one description is dropped.
  out = {one.answer for one in dropped if one.reason != REPEATED}
  found = agreement((answer for answer in answers if answer not in out), key)
  print(found.line() if found else "No unit was described twice.")


def _spelled(answers: Sequence[Answer], *, correct: bool) -> list[Answer]:
  """Prints misspelled words, and corrects those that the rules are sure of."""
  found = misspelled(answer.text for answer in answers)
  for word, (number, proposal) in found.items():
    times = "" if number == 1 else f" ({number} times)"
    if proposal is None:
      print(f"unknown word: {word}{times}")
    else:
      what = "corrected" if correct else "misspelled"
      print(f"{what}: {word} to {proposal}{times}")
  proposals = {word: proposal for word, (_, proposal) in found.items() if proposal}
  if not correct:
    return list(answers)
  return [
    dataclasses.replace(answer, text=corrected(answer.text, proposals))
    for answer in answers
  ]


def _write_annotations(
  out: pathlib.Path, answers: Sequence[Answer], key: Mapping[Place, KeyUnit]
) -> None:
  """Writes one file, with a column `run` if needed, or a file per run in a folder."""
  rows: list[tuple[KeyUnit, str]] = [
    (key[answer.place], answer.text) for answer in answers
  ]
  rows.sort(key=lambda row: row[0])
  runs = sorted({unit.run for unit, _ in rows})
  if out.suffix.lower() == ".csv":
    atomic.write_text(out, _annotations(rows, with_run=len(runs) > 1))
    return
  for run in runs:
    inside = [row for row in rows if row[0].run == run]
    atomic.write_text(out / f"{run}.csv", _annotations(inside, with_run=False))


def _annotations(rows: Sequence[tuple[KeyUnit, str]], *, with_run: bool) -> str:
  """Returns a table with columns layer, unit, summary and, if needed, sign and run."""
  with_sign = any(unit.sign != "on" for unit, _ in rows)
  more = [name for name, wanted in (("sign", with_sign), ("run", with_run)) if wanted]
  return csv_text(
    ("layer", "unit", "summary", *more),
    (
      (unit.layer, unit.unit, text, *(dataclasses.asdict(unit)[name] for name in more))
      for unit, text in rows
    ),
  )
