"""What a description says, word for word: the reader that both judges share.

A text becomes a list of words: lower case, without punctuation, in the singular, in
American spelling. What it denies it does not say.
"""

import functools
import re
from collections.abc import Sequence

NO_PATTERN = ("no", "clear", "pattern")
# How the captioner that ships may be taught to say that it sees no pattern.
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
# Words of the longest phrase that is looked for.
LONGEST = 5
# What follows one of these, to the end of the description, is not said.
DENIALS = frozenset({"no", "not", "without", "except", "neither", "hardly"})
# Idioms that are one word, lest "left to right" be of something on the left.
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
  """The singular of an English noun, by rules that treat both sides of a match alike.

  Args:
    word: in lower case. Of what is no plural something may be cut off too: it is cut
      off wherever the word comes, so that nothing is missed.
  """
  if word in _IRREGULAR:
    return _IRREGULAR[word]
  if word in _SINGULAR or len(word) < 4:
    return word
  if word.endswith("ies") and len(word) > 4:
    return word[:-3] + "y"
  if word.endswith("ie") and len(word) > 4:
    return word[:-2] + "y"  # as of its plural: cookie, cookies
  if word.endswith(("ches", "shes", "sses", "xes", "zes")):
    return word[:-2]
  if word.endswith("oes") and len(word) > 5:
    return word[:-2]
  if word.endswith("s") and not word.endswith(("ss", "us", "is")):
    return word[:-1]
  return word


def words(text: str) -> tuple[str, ...]:
  """All words of a text, normalized; a genitive's `'s` is dropped."""
  plain = re.sub("['\u2019]s?\\b", "", text.lower())
  return _joined(tuple(singular(word) for word in tokens(plain)))


def tokens(text: str) -> list[str]:
  """The words of a text as they are written, in lower case."""
  return re.findall(r"[a-z]+", text.lower())


def said(description: str) -> tuple[str, ...]:
  """The words that a description says: those before it begins to deny."""
  found = words(description)
  stops = (place for place, word in enumerate(found) if word in DENIALS)
  return found[: next(stops, len(found))]


def phrases(spoken: Sequence[str]) -> frozenset[tuple[str, ...]]:
  """All that is said by words that come one after another: those alone, pairs, ..."""
  return frozenset(
    tuple(spoken[start : start + length])
    for length in range(1, LONGEST + 1)
    for start in range(len(spoken) - length + 1)
  )


@functools.cache
def normalized(texts: frozenset[str]) -> frozenset[tuple[str, ...]]:
  """Words and phrases as `phrases` gives those that are said."""
  return frozenset(words(text) for text in texts)


def is_refusal(description: str) -> bool:
  """Whether a description says that there is no clear pattern."""
  return words(description)[: len(NO_PATTERN)] == NO_PATTERN


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
