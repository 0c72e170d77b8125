"""Paraphrases of things, parts and places in the picture.

`{many}` is a noun's plural, `{one}` the noun with its article, `{owner}` the noun as it
owns a part, `{parts}` the plural of a part, `{part}` the part alone, `{are}` its verb,
`{s}` a verb's ending, `{different}` and `{various}` as they fit the noun, `{c}` a color
and `{l}` a look. The first three phrasings of a list are short, so that "X and Y" can
use them too. A repeated phrasing is drawn twice as often.
"""

THING = (
  "{many}",
  "{one}",
  "{many}",
  "pictures of {many}",
  "{many} in different places",
  "parts of {many}",
  "{many} of different kinds",
  "{different} {many}",
)
ANIMAL = (
  "{many}",
  "{one}",
  "{many}",
  "pictures of {many}",
  "the bodies of {many}",
  "{many} outside",
  "{many} of different kinds",
  "{different} {many}",
)
STUFF = (
  "{many}",
  "areas of {many}",
  "{many}",
  "places with {many}",
  "large areas of {many}",
  "areas that show {many}",
  "{many} in the picture",
)
CATEGORY = (
  "{many}",
  "{different} {many}",
  "{many}",
  "{many} of all kinds",
  "{various} {many}",
  "parts of {many}",
  "all kinds of {many}",
)
PART = (
  "{owner} {parts}",
  "{parts} of {many}",
  "the {parts} of {many}",
  "{owner} {parts}",
  "{one}'s {part}",
  "the {part} of {one}",
  "{parts} of different {many}",
)
ANY_PART = (
  "{parts}",
  "the {parts} of things",
  "{parts}",
  "{parts} of different objects",
  "{parts} of all kinds",
)
COLORED = (
  "{c} {many}",
  "{many} that {are} {c}",
  "{c} {many}",
  "{c} colored {many}",
  "{different} {c} {many}",
)
COLORED_PART = (
  "{c} {parts}",
  "{parts} in {c}",
  "{c} {parts}",
  "{c} colored {parts}",
)
LOOK = (
  "{l} {many}",
  "{many} that look{s} {l}",
  "{l} {many}",
  "{different} {l} {many}",
)
WITH = (
  "{x} and {y}",
  "{x} with {y}",
  "{x} {on} {y}",
  "{x} {on} {y}",
  "{x} near {y}",
)
# A category except for one kind.
EXCEPT = (
  "{many} except {others}",
  "{many}, but not {others}",
  "{many} except for {others}",
  "all {many} except {others}",
  "{many}, but no {others}",
)
EXCEPTIONS = (
  ("animal", "dog"),
  ("animal", "bird"),
  ("vehicle", "car"),
  ("vehicle", "boat"),
  ("plant", "flower"),
  ("food", "fruit"),
  ("clothing", "hat"),
)
# Words that describe a side of a thing or of the picture.
SIDE_WORDS = {
  "top": ("top", "upper"),
  "bottom": ("bottom", "lower"),
  "left": ("left",),
  "right": ("right",),
}
SIDES = {
  "top": (
    "the tops of {many}",
    "upper edges of {many}",
    "upper parts of {many}",
    "tops of {many}",
    "the upper edge of {many}",
    "the top of {many}",
  ),
  "bottom": (
    "lower parts of {many}",
    "lower edges of {many}",
    "the bottoms of {many}",
    "lower ends of {many}",
    "the lower edge of {many}",
    "the lower parts of {many}",
  ),
  "left": (
    "the left side of {many}",
    "left edges of {many}",
    "left sides of {many}",
    "the left edge of {many}",
    "left parts of {many}",
  ),
  "right": (
    "the right side of {many}",
    "right edges of {many}",
    "right sides of {many}",
    "the right edge of {many}",
    "right parts of {many}",
  ),
}
_EDGES = ("border", "borders", "outer", "frame", "sides", "edges", "edge")
_CORNERS = ("corner", "corners")
# Groups of words of each place in the picture, as `Truth.strict` has them.
PLACE_WORDS = {
  **{side: (SIDE_WORDS[side],) for side in ("top", "bottom", "left", "right")},
  "border": (_EDGES,),
  **{
    f"{row} {column}": (SIDE_WORDS[side], (column,))
    for row, side in (("upper", "top"), ("lower", "bottom"))
    for column in ("left", "right")
  },
  "upper corners": (SIDE_WORDS["top"], _CORNERS),
  "lower corners": (SIDE_WORDS["bottom"], _CORNERS),
  "corners": (_CORNERS,),
}
_SIDE = (
  "the {side} edge of the picture",
  "thin strips along the {side} edge of the picture",
  "the {side} border of the picture",
)
_CORNER = (
  "the {corner} corner of the picture",
  "{corner} corners of pictures",
  "the {corner} part of the picture",
  "areas in the {corner} corner of the picture",
)
PLACES = {
  "top": (
    "the top of the picture",
    "upper parts of pictures",
    "the upper edge of the image",
    "areas at the top",
    *(each.format(side="upper") for each in _SIDE),
  ),
  "bottom": (
    "the bottom of the picture",
    "lower parts of pictures",
    "the lower edge of the image",
    "areas at the bottom",
    *(each.format(side="lower") for each in _SIDE),
  ),
  "left": (
    "the left side of the picture",
    "left parts of pictures",
    "the left edge of the image",
    "areas on the left",
    *(each.format(side="left") for each in _SIDE),
  ),
  "right": (
    "the right side of the picture",
    "right parts of pictures",
    "the right edge of the image",
    "areas on the right",
    *(each.format(side="right") for each in _SIDE),
  ),
  "border": (
    "the borders of the picture",
    "the outer edges of pictures",
    "the border of the picture",
    "areas along the sides of the image",
    "the edges of the picture",
    "thin strips along the picture's border",
  ),
  **{
    corner: tuple(each.format(corner=corner) for each in _CORNER)
    for corner in ("upper left", "upper right", "lower left", "lower right")
  },
  **{
    f"{row} corners": (
      f"the {row} corners of the picture",
      f"{row} corners of pictures",
      f"areas in the {row} corners of the picture",
    )
    for row in ("upper", "lower")
  },
  "corners": (
    "the corners of the picture",
    "corners of pictures",
    "areas in the corners of the picture",
  ),
}
# Synonyms that are used in addition to the noun.
SYNONYMS = {
  "animal": ("animals", "different animals", "creatures"),
  "person": ("people", "humans", "persons"),
  "man": ("men", "people", "a man"),
  "woman": ("women", "people", "a woman"),
  "child": ("children", "kids", "people"),
  "text": ("text", "letters", "words", "writing", "letters and numbers", "lettering"),
  "dog": ("dogs", "dogs", "dogs and puppies"),
  "cat": ("cats", "cats and kittens"),
  "airplane": ("airplanes", "planes", "aircraft"),
  "boat": ("boats", "boats and ships"),
  "leaves": ("leaves", "foliage", "green leaves"),
  "grass": ("grass", "lawns", "grassy areas"),
  "dirt": ("dirt", "the ground", "soil"),
  "road": ("roads", "streets", "pavement"),
  "rock": ("rocks", "stones", "rocky surfaces"),
  "forest": ("forests", "woods", "trees"),
  "sky": ("the sky", "skies", "open sky"),
  "water": ("water", "bodies of water", "wet surfaces"),
  "sea": ("the sea", "water", "ocean water"),
  "wall": ("walls", "plain walls"),
  "floor": ("floors", "the floor"),
  "fabric": ("fabric", "cloth", "textiles"),
  "wood": ("wood", "wooden surfaces", "boards"),
  "fence": ("fences", "bars and fences"),
  "flower": ("flowers", "blossoms"),
  "tree": ("trees", "trees and branches"),
  "bug": ("bugs", "bugs and insects", "small crawling animals"),
  "insect": ("insects", "bugs"),
  "musical instrument": ("musical instruments", "instruments"),
  "instrument": ("musical instruments", "instruments"),
  "electronic device": ("electronics", "electronic devices", "devices"),
  "clothing": ("clothing", "clothes", "things that people wear"),
  "food": ("food", "things to eat"),
  "sea animal": ("sea animals", "aquatic life", "animals in the water"),
  "structure": ("structures", "built structures"),
  "car": ("cars", "cars and other vehicles"),
  "wild cat": ("wild cats", "big cats"),
  "container": ("containers", "vessels and containers"),
  "ground": ("the ground", "ground", "the floor or ground"),
  "landscape": ("landscapes", "scenery", "nature"),
}
# Visible contents of a thing that a description may name instead of it.
SHOWN_ON = {"sign": ("text",)}
PART_SYNONYMS = {
  "head": ("heads", "faces and heads"),
  "face": ("faces", "faces and heads"),
  "leg": ("legs", "legs and feet"),
  "foot": ("feet", "feet and legs"),
  "nose": ("noses", "snouts"),
  "wheel": ("wheels", "tires", "wheels and tires"),
  "spine": ("spikes", "spines"),
  "body": ("bodies", "torsos"),
}
ON = {
  "grass": "on",
  "sand": "on",
  "snow": "in",
  "water": "in",
  "sea": "in",
  "sky": "in front of",
  "road": "on",
  "rock": "on",
  "table": "on",
  "floor": "on",
  "dirt": "on",
  "leaves": "among",
  "forest": "in front of",
  "wall": "in front of",
  "fabric": "on",
  "carpet": "on",
  "wood": "on",
  "branches": "on",
}
# How a ground is called that a thing is with; its plural where it is not named here.
GROUND_NAMES = {
  "sea": "the sea",
  "sky": "the sky",
  "road": "a road",
  "forest": "a forest",
}
