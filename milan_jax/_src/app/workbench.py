"""What the local page does, without the page: runs, captioners, answers."""

import dataclasses
import os
import pathlib
import threading
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from milan_jax._src.api.captioners import Captioner, load
from milan_jax._src.api.runs import Run, open_run
from milan_jax._src.api.stores import from_regions
from milan_jax._src.api.unit_regions import Regions, unit_name
from milan_jax._src.decoding.attention import TextAttention
from milan_jax._src.decoding.text_search import TextMatch
from milan_jax._src.errors import UserError
from milan_jax._src.files.names import shown
from milan_jax._src.options.decoding import STRATEGIES, check_choice
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.records import Description, Unit
from milan_jax._src.store.feature_store import FeatureStore

# The strategy of the captioner itself.
OWN = "default"
_LAYER = "pictures"
_LONGEST_TEXT = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
  """How to describe.

  Attributes:
    captioner: one of `Workbench.captioners`.
    strategy: one of the search strategies, or `OWN`.
    temperature: weight of the language model, for rerank; None for the captioner's.
    beam_size: hypotheses, for beam and rerank; None for the captioner's.
  """

  captioner: str
  strategy: str = OWN
  temperature: float | None = None
  beam_size: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
  """A description and what it is of.

  Attributes:
    title: what was described, in words.
    description: the new description.
    attention: what the captioner attends to at each of its words; None for a unit
      that never varies.
    regions: images and masks; None if they are not at hand.
    earlier: the description in the run; None for pictures.
    decoding: how it was decoded, in words.
  """

  title: str
  description: Description
  attention: TextAttention | None
  regions: Regions | None
  earlier: Description | None
  decoding: str


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
  """A unit that a text fits.

  Attributes:
    match: the unit and its scores.
    description: its description in the run.
    regions: images and masks; None if they are not at hand.
  """

  match: TextMatch
  description: Description
  regions: Regions | None


class Workbench:
  """Describes units of runs and given pictures, and finds units by a text.

  Calls may come from several threads; they are worked on one after another.

  Args:
    runs: run directories of `milan-describe`.
    captioners: captioners to offer beside those of the runs.

  Raises:
    UserError: a directory does not hold a finished run, a captioner cannot be loaded,
      or neither is given.
  """

  def __init__(self, runs: Sequence[str], captioners: Sequence[str] = ()):
    names = _short_names(runs)
    self.runs: dict[str, Run] = {
      name: open_run(folder) for name, folder in zip(names, runs, strict=True)
    }
    given = [*(run.captioner for run in self.runs.values()), *captioners]
    offered = list(dict.fromkeys(given))
    self._captioner_paths = dict(zip(_short_names(offered), offered, strict=True))
    self._loaded: dict[str, Captioner] = {}
    self._lock = threading.Lock()
    if not offered:
      raise UserError("--runs, --milan: expected a run or a captioner; found none.")
    # If the captioner of a run is gone, others describe its units; one that is named
    # must be there.
    for name, path in self._captioner_paths.items():
      if path in captioners:
        self._captioner(name)

  @property
  def captioners(self) -> list[str]:
    """Names of the captioners."""
    return list(self._captioner_paths)

  def captioner_of(self, run: str) -> str:
    """The name of the captioner that described a run."""
    path = self._run(run).captioner
    return next(name for name, each in self._captioner_paths.items() if each == path)

  def layers(self, run: str) -> list[str]:
    """Names of the layers of a run."""
    return list(self._run(run).layers)

  def units(self, run: str, layer: str) -> list[str]:
    """Units of a layer: their indices, with `-off` for what lowers them."""
    return [
      unit_name(entry.unit).rpartition("/")[2]
      for entry in self._run(run).descriptions
      if entry.unit.layer == layer
    ]

  def describe_unit(
    self, run: str, layer: str, unit: str, settings: Settings
  ) -> Answer:
    """Describes a unit of a run again.

    Args:
      run: the name of the run.
      layer: one of its layers.
      unit: one of the layer's units, as `units` names them.
      settings: how.

    Raises:
      UserError: there is no such unit, or the captioner cannot do that.
    """
    known = self._run(run)
    found = known.unit(f"{layer}/{unit}")
    with self._lock:
      captioner = self._captioner(settings.captioner)
      own = self._captioner_paths[settings.captioner] == known.captioner
      if own:
        features = known.features_of([found])
      else:
        features = captioner.encode(known.exemplars_of([found]))
      title = f"{run}: {unit_name(found)}"
      return self._answer(
        captioner,
        features,
        found,
        settings,
        title=shown(title),
        regions=known.regions(found) if known.has_exemplars else None,
        earlier=known.description(found),
      )

  def describe_pictures(
    self,
    images: UInt8[np.ndarray, "k height width 3"],
    masks: Bool[np.ndarray, "k height width"],
    settings: Settings,
  ) -> Answer:
    """Describes what regions of given pictures have in common; writes no file.

    Args:
      images: the pictures.
      masks: the region of each.
      settings: how.

    Raises:
      UserError: the captioner cannot do that.
    """
    with self._lock:
      captioner = self._captioner(settings.captioner)
      exemplars = from_regions(images[None], masks[None], layer=_LAYER)
      number = f"{len(images)} picture" + ("s" if len(images) > 1 else "")
      return self._answer(
        captioner,
        captioner.encode(exemplars),
        Unit(_LAYER, 0),
        settings,
        title=number,
        regions=(images, masks),
        earlier=None,
      )

  def find(self, run: str, text: str, top: int) -> list[Found]:
    """Finds the units of a run that a text fits best, by the run's own captioner.

    Args:
      run: the name of the run.
      text: a description.
      top: how many units to return at most.

    Raises:
      UserError: the text is empty or too long.
    """
    known = self._run(run)
    if len(text) > _LONGEST_TEXT:
      raise UserError(
        f"Description: expected at most {_LONGEST_TEXT} characters; found {len(text)}."
      )
    with self._lock:
      captioner = self._captioner(self.captioner_of(run))
      matches = captioner.find(known.features, text, top=top)
      return [
        Found(
          match,
          known.description(match.unit),
          known.regions(match.unit) if known.has_exemplars else None,
        )
        for match in matches
      ]

  def _answer(
    self,
    captioner: Captioner,
    features: FeatureStore,
    unit: Unit,
    settings: Settings,
    *,
    title: str,
    regions: Regions | None,
    earlier: Description | None,
  ) -> Answer:
    options = _options(captioner, settings)
    (described,) = captioner.describe(features, options=options)
    attention: TextAttention | None = None
    text = described.guess or described.text
    if text.strip() and not described.dead:
      ((attention,),) = captioner.attend(features, {unit: [text]}).values()
    decoding = captioner.resolve(options)
    words = [settings.captioner, decoding.strategy]
    if decoding.strategy in ("beam", "rerank"):
      words.append(f"beam of {decoding.beam_size}")
    if decoding.strategy == "rerank":
      words.append(f"temperature {decoding.temperature:g}")
    return Answer(
      title, described, attention, regions, earlier, shown(", ".join(words))
    )

  def _run(self, name: str) -> Run:
    if name not in self.runs:
      raise UserError(
        f"Choose one of the runs: {', '.join(self.runs) or 'none given'}."
      )
    return self.runs[name]

  def _captioner(self, name: str) -> Captioner:
    if name not in self._captioner_paths:
      raise UserError(f"Choose one of the captioners: {', '.join(self.captioners)}.")
    if name not in self._loaded:
      self._loaded[name] = load(self._captioner_paths[name])
    return self._loaded[name]


def _options(captioner: Captioner, settings: Settings) -> DecodingOptions:
  """The options of the settings that the strategy uses."""
  strategy = None if settings.strategy == OWN else settings.strategy
  if strategy is not None:
    check_choice("strategy", STRATEGIES, strategy)
  chosen = strategy or captioner.decoding.strategy
  return DecodingOptions(
    strategy=strategy,
    temperature=settings.temperature if chosen == "rerank" else None,
    beam_size=settings.beam_size if chosen in ("beam", "rerank") else None,
    batch_size=1,
  )


def _short_names(paths: Sequence[str]) -> list[str]:
  """The last part of each path; the whole path where two would be the same."""
  names = [os.path.normpath(path) for path in paths]
  last = [pathlib.PurePath(name).name or name for name in names]
  return [
    shown(short if last.count(short) == 1 else whole)
    for short, whole in zip(last, names, strict=True)
  ]
