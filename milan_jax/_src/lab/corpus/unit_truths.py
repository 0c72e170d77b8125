"""What a description must say to be right of a unit: `truth.json`, for tests.

Leniently right is a description with any word of a list, strictly right one with a word
of each of some lists. Words are in the singular, or as they are said.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from milan_jax._src.lab.corpus.concepts import Concept
from milan_jax._src.text.content_words import EMPTY_WORDS
from milan_jax._src.text.wording import singular

FILE = "truth.json"
# Words that any description may have, in the singular.
_EMPTY = EMPTY_WORDS | frozenset(
  """
  another anything nothing something more most mostly very nearly lot side next
  between behind around above below over under against beside background
  no not neither nor without out
  """.split()
)
# Other words for what concepts are named by.
_OTHERS = {
  "horizontal": ("horizontal", "level", "sideways", "across", "flat", "left to right"),
  "vertical": ("vertical", "upright", "up and down", "top to bottom", "standing"),
  "rising": ("diagonal", "rising", "slanted", "slanting", "leaning", "climb", "angle"),
  "falling": ("diagonal", "falling", "slanted", "slanting", "leaning", "drop", "angle"),
  "diagonal": ("diagonal", "slanted", "slanting", "leaning", "angle", "lean"),
  "edges": ("edge", "line", "border", "contour", "outline", "boundary", "rim"),
  "lines": ("line", "stroke", "strip", "bar", "string", "wire", "edge", "pole"),
  "stripes": ("stripe", "line", "striped", "bar", "ridge", "slat", "parallel"),
  "grids": ("grid", "gridded", "mesh", "cross", "crossing", "square", "checked"),
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
  """The words that are right of a measured concept, leniently and strictly.

  Leniently right is any word that at least two of its phrasings have, but for words
  that say nothing, and other words for its name if all of that has such; strictly right
  are words for all that its name is made of.
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
  """A unit's row; one that nothing is right of is a negative."""
  return {
    "unit": unit,
    "concept": name,
    "family": family,
    "negative": not lenient,
    "lenient": list(lenient),
    "strict": [list(group) for group in strict],
    "references": list(references),
  }
