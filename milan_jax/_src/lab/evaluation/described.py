"""Runs of `milan-describe` inside a test, and what they said."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from milan_jax._src.api.describe_run import describe
from milan_jax._src.models.confidence_model import NO_PATTERN
from milan_jax._src.options import Describe
from milan_jax._src.records import Unit
from milan_jax._src.runs.workdir import EXEMPLARS
from milan_jax._src.text.judge import Truth, Verdict, judge
from milan_jax._src.text.wording import is_refusal

FEATURES = "features"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
  """What was said of a unit.

  Attributes:
    text: the description.
    confidence: that it is right, 0 to 1; None where the captioner tells none.
    guess: the description that was withheld because of it; `text` where none was.
    dead: the unit never varied.
  """

  text: str
  confidence: float | None
  guess: str
  dead: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
  """Units that were described, and what is true of those that are judged.

  Attributes:
    folder: the run directory.
    exemplars: their exemplar store.
    answers: of each unit described.
    truths: of each unit judged; they are among those described.
  """

  folder: pathlib.Path
  exemplars: pathlib.Path
  answers: Mapping[Unit, Answer]
  truths: Mapping[Unit, Truth]

  @property
  def features(self) -> pathlib.Path:
    """The store of the regions' features."""
    return self.folder / FEATURES


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
  """One unit, what was said of it, what is true, and what the judges say."""

  run: Run
  unit: Unit
  answer: Answer
  truth: Truth
  verdict: Verdict


def judged(run: Run) -> Iterator[Judged]:
  """Judges a run, unit by unit."""
  for unit, truth in run.truths.items():
    answer = run.answers[unit]
    yield Judged(run, unit, answer, truth, judge(answer.text, truth))


def describe_run(
  folder: pathlib.Path,
  truths: Mapping[Unit, Truth] | None = None,
  *,
  page: bool = False,
  **options: Any,
) -> Run:
  """Describes units as a user would, with all defaults; goes on with an earlier run.

  Args:
    folder: the run directory.
    truths: what is true of units; None leaves them to be filled in.
    page: whether to write the page.
    options: of `milan_jax._src.options.Describe` that differ from its defaults.
  """
  keywords = dataclasses.asdict(Describe(workdir=str(folder), page=page, **options))
  del keywords["list_layers"]
  answers = read_answers(describe(**keywords))
  store = pathlib.Path(options.get("exemplars") or folder / EXEMPLARS)
  known = {unit: truth for unit, truth in (truths or {}).items() if unit in answers}
  return Run(folder, store, answers, known)


def by_likelihood(run: Run, milan: str) -> Run:
  """The same units by beam search alone, in a folder beside the run's."""
  folder = run.folder.with_name(f"{run.folder.name}-likelihood")
  return describe_run(folder, milan=milan, features=str(run.features), strategy="beam")


def read_answers(path: pathlib.Path) -> dict[Unit, Answer]:
  """Reads `descriptions.csv`; columns that a captioner does not fill may be missing."""
  answers = {}
  with path.open(newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
      text = row["description"]
      guess = row.get("guess") or ("" if is_refusal(text) else text) or NO_PATTERN
      confidence = row.get("confidence") or ""
      answers[Unit(row["layer"], int(row["unit"]))] = Answer(
        text=text,
        confidence=float(confidence) if confidence else None,
        guess=guess,
        dead=row.get("dead") == "1",
      )
  return answers
