"""Units described for a test, and what was said of them."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.api.pages import write_page
from milan_jax._src.api.probing import collect, probe
from milan_jax._src.api.stores import open_exemplars, open_features
from milan_jax._src.models.confidence_model import NO_PATTERN
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.records import Description, ExemplarSet, Unit
from milan_jax._src.text.judge import Truth, Verdict, judge
from milan_jax._src.text.wording import is_refusal

FEATURES = "features"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
  """What was said of a unit.

  Attributes:
    text: the description.
    confidence: that it is right, 0 to 1; None where the captioner gives none.
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
    exemplars: the folder of their exemplars.
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
  """One unit, what was said of it, what is true, and the judges' verdict."""

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


def collected_in(folder: pathlib.Path) -> pathlib.Path:
  """The run directory in which `describe_shown` collects the exemplars of another."""
  return folder.with_name(f"{folder.name}-collected")


def describe_shown(
  folder: pathlib.Path,
  captioner: Captioner,
  *,
  model: str = "efficientnet-lite0",
  images: str | os.PathLike[str] | None = None,
  layers: str | None = None,
  units: str | None = None,
  truths: Mapping[Unit, Truth] | None = None,
  page: bool = False,
) -> Run:
  """Shows images to a network and describes its units; resumes an earlier run.

  Args:
    folder: the run directory.
    captioner: describes them, by its own way to decode.
    model: the network, as `probe` takes it.
    images: what it is shown, as `collect` takes them.
    layers: those to describe; None for the default ones.
    units: of each layer; None for all, or the first 32 of the packaged photographs.
    truths: what is true of units; None leaves them to be filled in.
    page: whether to write the page.
  """
  workdir = collected_in(folder)
  found = collect(probe(model), images, layers=layers, units=units, workdir=workdir)
  return _run(folder, captioner, found, truths, page=page)


def describe_regions(
  folder: pathlib.Path,
  captioner: Captioner,
  exemplars: pathlib.Path,
  *,
  units: str | None = None,
  truths: Mapping[Unit, Truth] | None = None,
) -> Run:
  """Describes the units of a folder of exemplars; resumes an earlier run.

  Args:
    folder: the run directory.
    captioner: describes them, by its own way to decode.
    exemplars: the folder.
    units: of each layer; None for all.
    truths: what is true of units; None leaves them to be filled in.
  """
  return _run(folder, captioner, open_exemplars(exemplars, units=units), truths)


def by_likelihood(run: Run, captioner: Captioner) -> Mapping[Unit, Answer]:
  """The same units by beam search alone, in a folder beside the run's."""
  folder = run.folder.with_name(f"{run.folder.name}-likelihood")
  said = captioner.describe(
    open_features(run.features),
    workdir=folder,
    options=DecodingOptions(strategy="beam"),
  )
  return {entry.unit: answer_of(entry) for entry in said}


def answer_of(entry: Description) -> Answer:
  """What a description says."""
  said = "" if is_refusal(entry.text) else entry.text
  guess = entry.guess or said or NO_PATTERN
  return Answer(entry.text, entry.confidence, guess, entry.dead)


def _run(
  folder: pathlib.Path,
  captioner: Captioner,
  exemplars: ExemplarSet,
  truths: Mapping[Unit, Truth] | None,
  *,
  page: bool = False,
) -> Run:
  said = captioner.describe(exemplars, workdir=folder)
  if page:
    write_page(folder, exemplars, said)
  answers = {entry.unit: answer_of(entry) for entry in said}
  known = {unit: truth for unit, truth in (truths or {}).items() if unit in answers}
  where = getattr(exemplars, "folder", None)
  assert where is not None, "both kinds of exemplars are in a folder"
  return Run(folder, where, answers, known)
