"""What a finished run of `milan-describe` has in its directory."""

import dataclasses
import pathlib

from milan_jax._src.catalog.page import page_is_whole
from milan_jax._src.errors import UserError
from milan_jax._src.runs.workdir import (
  CONFIG,
  DESCRIPTIONS,
  EXEMPLARS,
  FEATURES,
  JOURNAL,
)
from milan_jax._src.store.descriptions import descriptions_are_whole, read_journal
from milan_jax._src.store.exemplar_store import META
from milan_jax._src.store.feature_store import features_are_finished


@dataclasses.dataclass(frozen=True, slots=True)
class Outputs:
  """What a finished run of `milan-describe` has.

  Attributes:
    folder: the run directory.
    exemplars: whether it finds its exemplars itself.
    features: whether it makes its features itself.
    page: whether it has a page.
  """

  folder: pathlib.Path
  exemplars: bool
  features: bool
  page: bool

  def are_there(self) -> bool:
    """Whether nothing is left to do; the folder's files alone say it."""
    folder = self.folder
    return (
      (folder / CONFIG).exists()
      and _journal_is_whole(folder)
      and (not self.exemplars or (folder / EXEMPLARS / META).exists())
      and (not self.features or features_are_finished(folder / FEATURES))
      and (not self.page or page_is_whole(folder))
    )


def _journal_is_whole(folder: pathlib.Path) -> bool:
  """Whether a run's descriptions are those of its journal, line by line."""
  try:
    descriptions = read_journal(folder / JOURNAL)
    return descriptions_are_whole(folder / DESCRIPTIONS, descriptions)
  except (OSError, UserError):
    return False
