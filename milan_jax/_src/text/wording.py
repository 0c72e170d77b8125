"""Normalizes descriptions into the words that both judges compare.

A text becomes a list of words: lower case, without punctuation, in the singular, in
American spelling. Words after a negation are dropped.
"""

import functools
import re
from collections.abc import Iterable, Sequence

NO_PATTERN = ("no", "clear", "pattern")
# How the starter captioner may be trained to report that it sees no pattern.
NOTHING_PHRASES = (
  "no clear pattern",
  "various things",
  "many different things",
  "random areas",
  "nothing in common",
  "different parts of different pictures",
  "i cannot see a pattern",
  "unrelated objects and backgrounds",
  "all kinds of areas",
  "a mix of unrelated things",
  "parts of pictures with nothing in common",
  "random parts of objects",
)
# Maximum number of words in a phrase.
LONGEST = 5
# Everything after one of these words is ignored.
DENIALS = frozenset({"no", "not", "without", "except", "neither", "hardly"})
# Idioms joined into one word, so that "left to right" does not match "left".
IDIOMS = (
  ("left", "to", "right"),
  ("right", "to", "left"),
  ("top", "to", "bottom"),
  ("up", "and", "down"),
  ("side", "to", "side"),
)
_IRREGULAR = {
  **{"people": "person", "men": "man", "women": "woman", "children": "child"},
  **{"mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth"},
  **{"oxen": "ox", "dice": "die", "fungi": "fungus", "cacti": "cactus"},
  **{"buses": "bus", "lenses": "lens", "gases": "gas", "walruses": "walrus"},
  **{"octopuses": "octopus", "cactuses": "cactus", "canoes": "canoe"},
  **{"wolves": "wolf", "leaves": "leaf", "loaves": "loaf", "calves": "calf"},
  **{"shelves": "shelf", "knives": "knife", "scarves": "scarf", "hooves": "hoof"},
  **{"halves": "half", "wives": "wife", "lives": "life", "selves": "self"},
  **{"grey": "gray", "greyish": "grayish", "colour": "color", "colours": "color"},
  **{"coloured": "colored", "colourful": "colorful", "centre": "center"},
  **{"aeroplane": "airplane", "aeroplanes": "airplane", "tyre": "tire"},
}
_SINGULAR = frozenset({"lens", "gas", "canvas", "atlas", "series", "species", "news"})


@functools.cache
def singular(word: str) -> str:
  """Returns the singular of an English noun.

  Args:
    word: a word in lower case. A word that only looks like a plural may be shortened
      too. Both sides of a comparison are shortened alike, so they still match.
  """
  if word in _IRREGULAR:
    return _IRREGULAR[word]
  if word in _SINGULAR or len(word) < 4:
    return word
  if word.endswith("ies") and len(word) > 4:
    return word[:-3] + "y"
  if word.endswith("ie") and len(word) > 4:
    return word[:-2] + "y"  # the same result as for the plural: cookie, cookies
  if word.endswith(("ches", "shes", "sses", "xes", "zes")):
    return word[:-2]
  if word.endswith("oes") and len(word) > 5:
    return word[:-2]
  if word.endswith("s") and not word.endswith(("ss", "us", "is")):
    return word[:-1]
  return word


def words(text: str) -> tuple[str, ...]:
  """Returns the normalized words of a text; drops the possessive `'s`."""
  plain = re.sub("['\u2019]s?\\b", "", text.lower())
  return _joined(tuple(singular(word) for word in tokens(plain)))


def tokens(text: str) -> list[str]:
  """Returns the words of a text in lower case, not normalized further."""
  return re.findall(r"[a-z]+", text.lower())


def said(description: str) -> tuple[str, ...]:
  """Returns the normalized words before the first negation."""
  found = words(description)
  stops = (place for place, word in enumerate(found) if word in DENIALS)
  return found[: next(stops, len(found))]


def phrases(spoken: Sequence[str]) -> frozenset[tuple[str, ...]]:
  """Returns all runs of 1 to `LONGEST` consecutive words."""
  return frozenset(
    tuple(spoken[start : start + length])
    for length in range(1, LONGEST + 1)
    for start in range(len(spoken) - length + 1)
  )


@functools.cache
def normalized(texts: frozenset[str]) -> frozenset[tuple[str, ...]]:
  """Normalizes words and phrases into the tuples that `phrases` returns."""
  return frozenset(words(text) for text in texts)


def is_refusal(description: str) -> bool:
  """Returns whether a description reports that there is no clear pattern."""
  return words(description)[: len(NO_PATTERN)] == NO_PATTERN


def says_nothing(description: str, sayings: Iterable[str]) -> bool:
  """Returns whether a description is a saying of nothing, or ends with one.

  "Corners of pictures with nothing in common" ends with "nothing in common".

  Args:
    description: the description.
    sayings: descriptions of no pattern, in lower case.
  """
  text = f" {description.lower()}"
  return any(text.endswith(f" {saying}") for saying in sayings if saying)


def _joined(found: tuple[str, ...]) -> tuple[str, ...]:
  for idiom in IDIOMS:
    if idiom[0] in found:
      found = _joined_one(found, idiom)
  return found


def _joined_one(found: tuple[str, ...], idiom: tuple[str, ...]) -> tuple[str, ...]:
  joined: list[str] = []
  place = 0
  while place < len(found):
    if found[place : place + len(idiom)] == idiom:
      joined.append("-".join(idiom))
      place += len(idiom)
    else:
      joined.append(found[place])
      place += 1
  return tuple(joined)
