"""The exemplars and captions of one folder, with its split and truths."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.json_files import read_json
from milan_jax._src.options.train import SetOptions
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import open_exemplars, set_name
from milan_jax._src.store.splits import FILE, read_split
from milan_jax._src.store.truths import MANIFEST, TRUTH, read_truths
from milan_jax._src.text.judge import Truth
from milan_jax._src.text.reconstruction import reconstruct
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.wording import NOTHING_PHRASES
from milan_jax._src.training.permitted_captions import permitted_captions

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
  """Facts about annotated exemplars that a captioner trained on them needs.

  Attributes:
    left_out: number of captions left out by `permitted_captions`.
    nothing: descriptions of no pattern, as a captioner of these corpora decodes them.
    sources: the model card's entry on corpora.
    sets: names of the joined sets, which the names of their layers begin with; empty
      for a single set.
  """

  left_out: int
  nothing: tuple[str, ...]
  sources: Mapping[str, Any]
  sets: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedSet:
  """The exemplars, captions, split and truths of one folder, or of several joined.

  Attributes:
    folders: the exemplar directories.
    exemplars: exemplars of annotated units.
    described: captions of all units.
    left_out: number of captions left out by `permitted_captions`.
    split: the part of each unit; None if not given.
    truths: correct descriptions of units; None if unknown.
  """

  folders: tuple[pathlib.Path, ...]
  exemplars: ExemplarSet
  described: Mapping[Unit, Sequence[str]]
  left_out: int
  split: Mapping[Unit, str] | None
  truths: Mapping[Unit, Truth] | None

  def units(self) -> dict[str, list[Unit]]:
    """Returns the units of each layer."""
    layers = self.exemplars.layers
    return {name: self.exemplars.exemplars(name).signed_units() for name in layers}

  def origin(self) -> Origin:
    """Returns the facts about the exemplars."""
    has_truths = any((folder / TRUTH).is_file() for folder in self.folders)
    several = len(self.folders) > 1
    return Origin(
      left_out=self.left_out,
      nothing=tuple(_as_said(NOTHING_PHRASES)) if has_truths else (),
      sources=known_sources(self.folders),
      sets=tuple(set_name(folder) for folder in self.folders) if several else (),
    )


def read_set(
  folder: pathlib.Path,
  annotations: str | None,
  table: str | None,
  data: SetOptions,
  say: Say,
) -> AnnotatedSet:
  """Reads one folder.

  Args:
    folder: the exemplars.
    annotations: their annotations; None for those in the folder.
    table: their split; None for that in the folder, if there is one.
    data: the limits of annotations.
    say: called with each line of progress.

  Raises:
    UserError: if a file is missing or damaged, or no annotated unit has exemplars.
  """
  given = _limited(read_annotations(annotations or folder), data, folder, say)
  permitted = permitted_captions(given)
  if permitted.left_out:
    say(
      f"{permitted.left_out} captions give persons a color or judge them (such as "
      f"{permitted.example!r}) and are left out"
    )
  described = permitted.captions
  path = pathlib.Path(table or folder / FILE)
  return AnnotatedSet(
    folders=(folder,),
    exemplars=_annotated(open_exemplars(folder), described),
    described=described,
    left_out=permitted.left_out,
    split=read_split(path) if table or path.is_file() else None,
    truths=read_truths(folder) if (folder / TRUTH).is_file() else None,
  )


def check_limits(least: int, most: int | None) -> None:
  """Raises UserError if the limits of a unit's annotations make no sense."""
  if least < 1 or (most is not None and most < least):
    raise UserError(
      f"--min_annotations={least}, --max_annotations={most}: expected a minimum of at "
      "least 1 and a maximum of at least the minimum."
    )


def _limited(
  described: Mapping[Unit, Sequence[str]],
  data: SetOptions,
  folder: pathlib.Path,
  say: Say,
) -> dict[Unit, Sequence[str]]:
  """Leaves out units with too few captions, and captions beyond the maximum."""
  least, most = data.min_annotations, data.max_annotations
  check_limits(least, most)
  kept = {unit: said[:most] for unit, said in described.items() if len(said) >= least}
  if len(kept) < len(described):
    say(
      f"{folder}: {len(described) - len(kept)} of {len(described)} units have fewer "
      f"than {least} annotations and are left out"
    )
  if not kept:
    raise UserError(
      f"--min_annotations={least}: no unit of {folder} has as many annotations: lower "
      "it."
    )
  return kept


def _annotated(
  whole: ExemplarSet, annotations: Mapping[Unit, Sequence[str]]
) -> ExemplarSet:
  """Leaves out units and layers without captions, so that they are not encoded."""
  rows = {}
  for layer in whole.layers:
    units = whole.exemplars(layer).signed_units()
    known = [row for row, unit in enumerate(units) if unit in annotations]
    if known:
      rows[layer] = np.array(known)
  if not rows:
    layers = sorted({unit.layer for unit in annotations})
    raise UserError(
      f"No annotated unit has exemplars: annotations are of {', '.join(layers[:8])}; "
      f"exemplars are of {', '.join(whole.layers[:8])}."
    )
  return ChosenExemplars(whole, rows)


def known_sources(folders: Sequence[pathlib.Path]) -> dict[str, Any]:
  """Returns the model card's entry on corpora: the photographs used in training.

  Raises:
    UserError: if a corpus's manifest is damaged.
  """
  seen: list[str] = []
  manifests = [path for each in folders if (path := each / MANIFEST).is_file()]
  for path in manifests:
    manifest = read_json(path, dict, remedy="build the corpus again")
    try:
      seen += [
        row["sha256"][:16]
        for row in manifest.get("photographs", ())
        if row["split"] in ("train", "validation")
      ]
    except (TypeError, KeyError) as error:
      raise UserError(
        f"{path}: expected photographs with sha256 and split ({error}): build the "
        "corpus again."
      ) from error
  return {"trained_on": seen} if manifests else {}


def _as_said(captions: Sequence[str]) -> list[str]:
  """Tokenizes and joins captions like a captioner: "cannot" becomes two words."""
  split = Tokenizer()
  return [reconstruct(split(caption)).lower() for caption in captions]
