"""Describes the units of a test and pairs the descriptions with their truths."""

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
  """The description of a unit.

  Attributes:
    text: the description.
    confidence: probability that it is right; None if the captioner has no confidence.
    guess: the description withheld for low confidence; `text` if none was withheld.
    dead: the unit's activation never varied.
  """

  text: str
  confidence: float | None
  guess: str
  dead: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
  """Described units and the truths of those that are judged.

  Attributes:
    folder: the run directory.
    exemplars: the folder of the units' exemplars.
    answers: the answer for each described unit.
    truths: the truth of each judged unit; a subset of the described units.
  """

  folder: pathlib.Path
  exemplars: pathlib.Path
  answers: Mapping[Unit, Answer]
  truths: Mapping[Unit, Truth]

  @property
  def features(self) -> pathlib.Path:
    """The folder of the regions' features."""
    return self.folder / FEATURES


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
  """A unit with its answer, its truth and the judges' verdict."""

  run: Run
  unit: Unit
  answer: Answer
  truth: Truth
  verdict: Verdict


def judged(run: Run) -> Iterator[Judged]:
  """Judges each unit of a run."""
  for unit, truth in run.truths.items():
    answer = run.answers[unit]
    yield Judged(run, unit, answer, truth, judge(answer.text, truth))


def collected_in(folder: pathlib.Path) -> pathlib.Path:
  """Returns the run directory in which `describe_shown` collects exemplars."""
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
  """Collects a network's exemplars and describes its units; resumes an earlier run.

  Args:
    folder: the run directory.
    captioner: describes the units with its own decoding options.
    model: the network, as accepted by `probe`.
    images: the images, as accepted by `collect`.
    layers: the layers to describe; None for the default layers.
    units: the units of each layer; None for all, or for the first 32 with the packaged
      photographs.
    truths: the truths of the units; None if the caller adds them later.
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
    captioner: describes the units with its own decoding options.
    exemplars: the folder of exemplars.
    units: the units of each layer; None for all.
    truths: the truths of the units; None if the caller adds them later.
  """
  return _run(folder, captioner, open_exemplars(exemplars, units=units), truths)


def by_likelihood(run: Run, captioner: Captioner) -> Mapping[Unit, Answer]:
  """Describes the same units by beam search, in a folder next to the run's."""
  folder = run.folder.with_name(f"{run.folder.name}-likelihood")
  said = captioner.describe(
    open_features(run.features),
    workdir=folder,
    options=DecodingOptions(strategy="beam"),
  )
  return {entry.unit: answer_of(entry) for entry in said}


def answer_of(entry: Description) -> Answer:
  """Converts a description to an answer."""
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
