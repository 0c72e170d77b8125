"""The inputs and results that all tests share."""

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
  """A test lacks an input; the message states which one to provide."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
  """One evaluation.

  Attributes:
    captioner: describes the units.
    workdir: the parent of each test's folder.
    photographs: folder of photographs that the captioner was not trained on; None if
      none were given.
    corpus: folder of region sets with `truth.json`; None if not given.
    seed: seeds every random draw.
  """

  captioner: Captioner
  workdir: pathlib.Path
  photographs: pathlib.Path | None = None
  corpus: pathlib.Path | None = None
  seed: int = 0

  def describe_shown(self, name: str, **options: Any) -> Run:
    """Calls `described.describe_shown` with the folder `name`."""
    return describe_shown(self.workdir / name, self.captioner, **options)

  def describe_regions(self, name: str, exemplars: pathlib.Path, **options: Any) -> Run:
    """Calls `described.describe_regions` with the folder `name`."""
    return describe_regions(self.workdir / name, self.captioner, exemplars, **options)

  def need_photographs(self) -> pathlib.Path:
    """Returns the folder of photographs.

    Raises:
      MissingSourceError: if none was given.
    """
    if self.photographs is None:
      raise MissingSourceError("give a folder of photographs with --images")
    return self.photographs

  def need_corpus(self) -> pathlib.Path:
    """Returns the folder of region sets.

    Raises:
      MissingSourceError: if none was given.
      UserError: if the folder has no `truth.json`.
    """
    if self.corpus is None:
      raise MissingSourceError("give a folder that milan-corpus built with --corpus")
    if not (self.corpus / TRUTH).is_file():
      raise UserError(
        f"--corpus: {self.corpus} has no {TRUTH} with the truths of its units: build "
        "it with this version of milan-corpus."
      )
    return self.corpus


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
  """The result of a test.

  Attributes:
    runs: the described units and their truths.
    subsets: named subsets of the judged units; figures are reported for each.
    headline: the subset for the test's main figures; empty for all units.
    notes: notes for the reader, one sentence each.
    extra: additional figures, as JSON.
  """

  runs: tuple[Run, ...]
  subsets: Mapping[str, frozenset[Unit]] = dataclasses.field(default_factory=dict)
  headline: str = ""
  notes: tuple[str, ...] = ()
  extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
