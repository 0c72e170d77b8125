"""What is in a folder of annotated exemplars, whether it has images or not."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of_file
from milan_jax._src.files.json_files import read_json
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.exemplar_sets import (
  is_recorded,
  open_exemplars,
  require_exemplars,
  set_name,
)
from milan_jax._src.store.exemplar_store import META
from milan_jax._src.store.milannotations_archive import MANIFEST
from milan_jax._src.store.original_layout import layer_units, layers_without_images

# The paper uses units with at least as many annotations.
USUAL = 3
# Maximum number of units that a finding lists.
_NAMED = 5
Tokenize = Callable[[str], Sequence[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedUnits:
  """Units and annotations of a folder.

  Attributes:
    name: its name in joined sets.
    folder: the folder.
    units: the units that have exemplars.
    annotations: the annotations of each annotated unit.
    without_images: layers whose images must be merged.
  """

  name: str
  folder: pathlib.Path
  units: tuple[Unit, ...]
  annotations: Mapping[Unit, tuple[str, ...]]
  without_images: tuple[str, ...]


def read_annotated(folder: pathlib.Path) -> AnnotatedUnits:
  """Reads units and annotations, without opening images.

  Raises:
    UserError: if the folder has no exemplars or annotations, or a file is damaged.
  """
  require_exemplars(folder)
  units: list[Unit] = []
  missing: tuple[str, ...] = ()
  if (folder / META).is_file() or is_recorded(folder):
    store = open_exemplars(folder)
    for layer in store.layers:
      units += store.exemplars(layer).signed_units()
  else:
    for layer, indices in layer_units(folder).items():
      units += [Unit(layer, index) for index in indices.tolist()]
    missing = layers_without_images(folder)
  return AnnotatedUnits(
    name=set_name(folder),
    folder=folder,
    units=tuple(units),
    annotations=read_annotations(folder),
    without_images=missing,
  )


@dataclasses.dataclass(frozen=True, slots=True)
class Stats:
  """Numbers of one set, or of several.

  Attributes:
    layers: layers with exemplars.
    units: units with exemplars.
    annotated: units with exemplars and at least one annotation.
    fewer_than_3: those of them with one or two annotations.
    annotations: annotations of all units.
    duplicates: annotations that repeat one of the same unit, but for case, spaces
      around it and a period at its end.
    words: tokens of all annotations.
    vocabulary: different tokens.
    longest: tokens of the longest annotation.
    longer_than_15: annotations of more tokens than the original decodes.
    missing_annotations: units with exemplars, but no annotation.
    missing_exemplars: annotated units without exemplars.
    missing_images: layers whose images must be merged.
  """

  layers: int
  units: int
  annotated: int
  fewer_than_3: int
  annotations: int
  duplicates: int
  words: int
  vocabulary: int
  longest: int
  longer_than_15: int
  missing_annotations: int
  missing_exemplars: int
  missing_images: int


def stats_of(sets: Sequence[AnnotatedUnits], tokenize: Tokenize) -> Stats:
  """Counts units, annotations and words of sets, taken together.

  Args:
    sets: the sets.
    tokenize: splits an annotation into tokens.
  """
  texts = [text for one in sets for said in one.annotations.values() for text in said]
  tokens = [tokenize(text) for text in texts]
  said = [
    (one, unit, one.annotations.get(unit, ())) for one in sets for unit in one.units
  ]
  return Stats(
    layers=len({(one.name, unit.layer) for one, unit, _ in said}),
    units=len(said),
    annotated=sum(1 for *_, each in said if each),
    fewer_than_3=sum(1 for *_, each in said if 0 < len(each) < USUAL),
    annotations=len(texts),
    duplicates=sum(
      len(each) - len({*map(_plain, each)})
      for one in sets
      for each in one.annotations.values()
    ),
    words=sum(map(len, tokens)),
    vocabulary=len({token for each in tokens for token in each}),
    longest=max(map(len, tokens), default=0),
    longer_than_15=sum(1 for each in tokens if len(each) > 15),
    missing_annotations=sum(1 for *_, each in said if not each),
    missing_exemplars=sum(len(one.annotations.keys() - set(one.units)) for one in sets),
    missing_images=sum(len(one.without_images) for one in sets),
  )


def _plain(text: str) -> str:
  return text.strip().rstrip(".").strip().lower()


def findings(found: AnnotatedUnits) -> tuple[list[str], list[str]]:
  """Checks a set.

  Returns:
    Problems, with which it cannot be trained on as it is, and remarks. Each is one
    sentence that begins with the set's name.
  """
  problems = _changed_files(found.folder)
  if found.without_images:
    problems.append(
      f"{len(found.without_images)} layers have no images.npy "
      f"({', '.join(found.without_images[:_NAMED])}): run 'milan-data merge "
      f"--data={found.folder} --images=DIR'"
    )
  known = set(found.units)
  remarks = []
  for units, what in (
    ([unit for unit in found.annotations if unit not in known], "have no exemplars"),
    ([unit for unit in found.units if unit not in found.annotations], "have none"),
    (
      [unit for unit, said in found.annotations.items() if len(said) < USUAL],
      f"have fewer than {USUAL} annotations",
    ),
    (
      [
        unit
        for unit, said in found.annotations.items()
        if len({*map(_plain, said)}) < len(said)
      ],
      "have the same annotation twice",
    ),
  ):
    if units:
      subject = "units" if what == "have none" else "annotated units"
      what = "have no annotation" if what == "have none" else what
      remarks.append(f"{len(units)} {subject} {what}: {_listed(units)}")
  return (
    [f"{found.name}: {each}" for each in problems],
    [f"{found.name}: {each}" for each in remarks],
  )


def _listed(units: Sequence[Unit]) -> str:
  named = ", ".join(f"{unit.layer} {unit.index}" for unit in units[:_NAMED])
  more = len(units) - _NAMED
  return f"{named} and {more} more" if more > 0 else named


def _changed_files(folder: pathlib.Path) -> list[str]:
  """Compares files with the sizes and digests recorded when they were unpacked."""
  path = folder / MANIFEST
  if not path.is_file():
    return []
  remedy = f"remove {folder}, so that it is downloaded again"
  try:
    files = {
      name: (about["size"], about["sha256"])
      for name, about in read_json(path, dict, remedy=remedy)["files"].items()
    }
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(f"{path}: expected files with size and sha256: {remedy}") from error
  problems = []
  for name, (size, digest) in sorted(files.items()):
    inside = folder / name
    if not inside.is_file():
      problems.append(f"{name} is missing: {remedy}")
    elif inside.stat().st_size != size:
      found = inside.stat().st_size
      problems.append(f"{name} has {found} bytes, expected {size}: {remedy}")
    elif sha256_of_file(inside) != digest:
      problems.append(f"{name} is not the file that was downloaded: {remedy}")
  return problems


def as_json(sets: Mapping[str, Stats]) -> str:
  """Returns the numbers of sets as JSON."""
  return json.dumps({name: dataclasses.asdict(one) for name, one in sets.items()})


def table(sets: Mapping[str, Stats]) -> str:
  """Returns the numbers as a table of text, one column for each set."""
  rows = [["", *sets]]
  for field in dataclasses.fields(Stats):
    values = [f"{getattr(one, field.name):,}" for one in sets.values()]
    rows.append([field.name.replace("_", " "), *values])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
    "  ".join(
      cell.ljust(width) if at == 0 else cell.rjust(width)
      for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in rows
  ]
  return "\n".join(line.rstrip() for line in lines)
