"""Writes `truth.json`: the words that make a description of a unit right.

The lenient judge accepts any word of one list. The strict judge requires a word from
each of several lists. Words are in the singular or as written in descriptions.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from milan_jax._src.lab.corpus.concepts import Concept
from milan_jax._src.text.content_words import EMPTY_WORDS
from milan_jax._src.text.wording import singular

FILE = "truth.json"
# Words that fit any unit, in the singular.
_EMPTY = EMPTY_WORDS | frozenset(
  """
  another anything nothing something more most mostly very nearly lot side next
  between behind around above below over under against beside background
  no not neither nor without out
  """.split()
)
# Synonyms of the words in concepts' names.
_OTHERS = {
  "horizontal": ("horizontal", "level", "sideways", "across", "flat", "left to right"),
  "vertical": ("vertical", "upright", "up and down", "top to bottom", "standing"),
  "rising": ("diagonal", "rising", "slanted", "slanting", "leaning", "climb", "angle"),
  "falling": ("diagonal", "falling", "slanted", "slanting", "leaning", "drop", "angle"),
  "diagonal": ("diagonal", "slanted", "slanting", "leaning", "angle", "lean"),
  "edges": ("edge", "line", "border", "contour", "outline", "boundary", "rim"),
  "lines": ("line", "stroke", "strip", "bar", "string", "wire", "edge", "pole"),
  "stripes": ("stripe", "line", "striped", "bar", "ridge", "slat", "parallel"),
  "grids": (
    *("grid", "gridded", "mesh", "cross", "crossing", "square", "checked"),
    *("lattice", "fence", "net"),
  ),
  "corners": ("corner", "pointed", "angle", "tip", "edge"),
  "curves": ("curve", "curved", "curving", "round", "rounded", "bend", "arc"),
  "smooth": ("smooth", "plain", "flat", "uniform", "even", "empty", "blank"),
  "blurry": ("blurry", "blurred", "soft", "out of focus"),
  "fine": ("fine", "finely", "grainy", "small", "tiny", "detail"),
  "coarse": ("coarse", "rough", "blotchy", "large", "big", "uneven", "bumpy", "lumpy"),
  "textured": ("texture", "textured", "rough", "grainy", "busy", "detail", "pattern"),
  "texture": ("texture", "textured", "rough", "grainy", "bumpy", "pattern", "detail"),
  "bright": ("bright", "brightly", "light", "lightest", "white", "lit", "overexposed"),
  "dark": ("dark", "darker", "darkest", "black", "shadow", "unlit"),
  "highlights": ("highlight", "bright", "light", "shiny", "shining", "white"),
  "shadows": ("shadow", "dark", "black", "shaded"),
  "contrast": ("contrast", "contrasting", "light next to dark", "dark"),
  "spots": ("spot", "dot", "speck", "point", "small"),
  "dots": ("spot", "dot", "speck", "dotted", "speckled", "spotted"),
  "small": ("small", "spot", "little", "bit", "detail", "patch"),
  "warm": ("warm", "red", "reddish", "orange", "yellow", "yellowish"),
  "cool": ("cool", "cold", "blue", "bluish", "green", "greenish", "teal"),
  "vivid": (
    "vivid",
    "colorful",
    "strong",
    "bright",
    "brightly",
    "intense",
    "saturated",
  ),
  "pale": ("pale", "pastel", "light", "soft", "washed out"),
  "colorless": ("colorless", "gray", "grayish", "black", "white", "neutral"),
  "gray": ("gray", "grayish", "dull"),
  "teal": ("teal", "turquoise", "blue-green", "blue", "green"),
  "tan": ("tan", "beige", "brown"),
}
_LEFT_OUT = frozenset({"of", "and", "any", "light", "medium", "+"})


def measured_truth(concept: Concept) -> tuple[list[str], list[list[str]]]:
  """Returns the lenient and the strict words of a measured concept.

  Lenient words are those in at least two phrasings, without empty words, plus the
  synonyms of the name if each word of the name has synonyms. Each strict group holds
  the synonyms of one word of the name.
  """
  counts = Counter(
    word
    for phrasing in concept.phrasings
    for word in set(re.findall(r"[a-z-]+", phrasing))
    if singular(word) not in _EMPTY
  )
  common = [word for word, count in sorted(counts.items()) if count >= 2]
  tokens = [
    token
    for token in re.findall(r"[a-z]+", concept.name)
    if token not in _LEFT_OUT and (token in _OTHERS or token in counts)
  ]
  strict = [list(_OTHERS.get(token, (token,))) for token in tokens]
  named = strict if all(token in _OTHERS for token in tokens) else []
  others = [word for words in named for word in words]
  lenient = list(dict.fromkeys([*(common or sorted(counts)), *others]))
  return lenient, strict or [lenient]


def entry(
  unit: int,
  name: str,
  *,
  lenient: Sequence[str],
  strict: Sequence[Sequence[str]],
  references: Sequence[str],
  family: str,
) -> dict[str, Any]:
  """Returns a unit's row; a unit without right words is a negative."""
  return {
    "unit": unit,
    "concept": name,
    "family": family,
    "negative": not lenient,
    "lenient": list(lenient),
    "strict": [list(group) for group in strict],
    "references": list(references),
  }
