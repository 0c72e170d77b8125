"""The options of `milan-annotate`."""

import dataclasses

from milan_jax._src.options.fields import Checked, Options, option


@dataclasses.dataclass(frozen=True, slots=True)
class SheetOptions(Checked):
  """Drawing contact sheets."""

  exemplars: str | None = option(
    None,
    "folders of exemplars, comma-separated; their units are mixed",
  )
  num_units: int | None = option(
    None,
    "units to draw from each folder, evenly over its layers; default: all that have "
    "regions",
  )
  off_share: float | None = option(
    None,
    "fraction of num_units to draw from the units that are shown by what lowers them, "
    "if there are enough; default: these units are drawn like the others",
  )
  skip: str | None = option(
    None,
    "key.csv of earlier sheets, or several, comma-separated: their units are not drawn",
  )
  twice: int = option(
    0,
    "number of these units to draw again on a second set of sheets, to measure "
    "agreement",
  )
  units_per_sheet: int = option(
    6,
    "units per sheet, at most 6; with fewer, viewers that shrink pictures show them "
    "larger",
  )
  seed: int = option(0, "seed of the choice and of the order of the units", least=0)
  workdir: str = option(
    "runs/annotate",
    "folder for the page index.html, sheets/, key.csv and an empty answers.csv",
  )


@dataclasses.dataclass(frozen=True, slots=True)
class AnswerOptions(Checked):
  """Reading answers."""

  read: str | None = option(
    None,
    "CSV files with the columns sheet,letter,summary and, from the page, seconds, "
    "comma-separated; no sheets are drawn",
  )
  key: str | None = option(None, "key.csv that was written with the sheets")
  out: str = option(
    "annotations.csv",
    "file for the annotations, or a folder for one file per folder of exemplars",
  )

  min_seconds: float = option(
    3.0, "leave out answers whose unit was shown for less time, where seconds are known"
  )
  spelling: str = option(
    "none",
    "list: print misspelled words; correct: also correct them where only one common "
    "word is meant; needs pyspellchecker",
    choices=("none", "list", "correct"),
  )


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotateOptions(Options):
  """Draws units on contact sheets for annotators, and reads their answers."""

  sheets: SheetOptions = dataclasses.field(default_factory=SheetOptions)
  answers: AnswerOptions = dataclasses.field(default_factory=AnswerOptions)
