"""The tables that say what pictures show: compact text, parsed once."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
  """What one picture shows.

  Attributes:
    what: an everyday noun, lower case.
    words: colours and looks that surely hold, may be empty.
    group: pictures of one group are near copies; empty where there is none.
  """

  what: str
  words: tuple[str, ...] = ()
  group: str = ""


def parse(table: str) -> dict[str, Name]:
  """Reads `what, word, word: path path@group`; indented lines hold further paths.

  Raises:
    ValueError: if a path has no name, or two.
  """
  names: dict[str, Name] = {}
  what = ""
  words: tuple[str, ...] = ()
  for line in table.splitlines():
    paths = line
    if line and not line[0].isspace():
      head, colon, paths = line.partition(":")
      what, *rest = (part.strip() for part in head.split(","))
      words = tuple(rest)
      if not colon or not what:
        raise ValueError(f"expected `what, word: path`, found {line!r}")
    for entry in paths.split():
      path, _, group = entry.partition("@")
      if not what or path in names:
        raise ValueError(f"expected one name for {path}, found {line!r}")
      names[path] = Name(what, words, group)
  return names


def present(names: dict[str, Name], paths: Iterable[str]) -> list[tuple[str, Name]]:
  """The entries whose path is among `paths`, sorted by path."""
  return [(path, names[path]) for path in sorted(names.keys() & set(paths))]
