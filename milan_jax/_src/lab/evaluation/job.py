"""What every test is given: the captioner, and where its material lies."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.errors import UserError
from milan_jax._src.lab.evaluation.described import (
  Run,
  describe_regions,
  describe_shown,
)
from milan_jax._src.records import Unit
from milan_jax._src.store.truths import TRUTH


class MissingSourceError(Exception):
  """A test lacks what it needs; the message says what to give."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
  """One evaluation.

  Attributes:
    captioner: describes the units.
    workdir: folder that the tests write into, each into its own.
    photographs: folder of photographs that the captioner was not trained on; None where
      none were given.
    corpus: region sets with `truth.json`; None where none were given.
    seed: of every draw.
  """

  captioner: Captioner
  workdir: pathlib.Path
  photographs: pathlib.Path | None = None
  corpus: pathlib.Path | None = None
  seed: int = 0

  def describe_shown(self, name: str, **options: Any) -> Run:
    """Shows images to a network in the folder `name`, as `described.describe_shown`."""
    return describe_shown(self.workdir / name, self.captioner, **options)

  def describe_regions(self, name: str, exemplars: pathlib.Path, **options: Any) -> Run:
    """Describes exemplars in the folder `name`, as `described.describe_regions`."""
    return describe_regions(self.workdir / name, self.captioner, exemplars, **options)

  def need_photographs(self) -> pathlib.Path:
    """The photographs.

    Raises:
      MissingSourceError: if none were given.
    """
    if self.photographs is None:
      raise MissingSourceError("give a folder of photographs with --images")
    return self.photographs

  def need_corpus(self) -> pathlib.Path:
    """The region sets.

    Raises:
      MissingSourceError: if none were given.
      UserError: if they lack their truth.
    """
    if self.corpus is None:
      raise MissingSourceError("give a folder that milan-corpus built with --corpus")
    if not (self.corpus / TRUTH).is_file():
      raise UserError(
        f"--corpus: {self.corpus} has no {TRUTH}, which holds the truths of its "
        "units: build it with this version of milan-corpus."
      )
    return self.corpus


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
  """What a test found.

  Attributes:
    runs: units that were described and judged.
    subsets: some of the units judged, by what they are called; each is reported.
    headline: the subset whose figures stand for the test; empty for all units.
    notes: what a reader has to know, a sentence each.
    extra: further figures, as JSON.
  """

  runs: tuple[Run, ...]
  subsets: Mapping[str, frozenset[Unit]] = dataclasses.field(default_factory=dict)
  headline: str = ""
  notes: tuple[str, ...] = ()
  extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
