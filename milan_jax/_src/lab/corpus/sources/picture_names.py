"""Reads the subjects of pictures from the tables `*_names.tsv`, one row per picture.

The tables were made by looking at every picture. Among stamps and photographs they
leave out drawings, paintings, symbols and pictures without a plain name. Among textures
they keep plain materials and parts of buildings, and leave out atlases, normal maps and
gloss maps.
"""

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

# The first part of a photograph's path is its archive: `erase` is `erase.rcc`.
Table = Literal["stamp", "photograph", "kart_texture", "ufo_texture"]


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
  """The table entry of one picture.

  Attributes:
    what: an everyday noun, lower case.
    words: colors and looks that certainly apply; may be empty.
    group: shared by near copies, such as recolored pictures; empty without copies.
  """

  what: str
  words: tuple[str, ...] = ()
  group: str = ""


@functools.cache
def picture_names(table: Table) -> Mapping[str, Name]:
  """Returns the entry of each picture of a package, by its path in the package."""
  folder = importlib.resources.files("milan_jax._src.lab.corpus.sources")
  text = (folder / f"{table}_names.tsv").read_text(encoding="utf-8")
  return MappingProxyType(parse(text))


def parse(table: str) -> dict[str, Name]:
  """Reads tab-separated `path`, `shows`, `looks` (separated by commas) and `group`.

  Raises:
    ValueError: if a path has no name, or two.
  """
  names: dict[str, Name] = {}
  lines = table.splitlines()
  for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
    path = row["path"]
    if not row["shows"] or path in names:
      raise ValueError(f"expected exactly one name for {path}, found {row}")
    looks = tuple(row["looks"].split(", ")) if row["looks"] else ()
    names[path] = Name(row["shows"], looks, row["group"])
  return names


def present(names: Mapping[str, Name], paths: Iterable[str]) -> list[tuple[str, Name]]:
  """Returns the entries whose path is in `paths`, sorted by path."""
  return [(path, names[path]) for path in sorted(names.keys() & set(paths))]
