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
  "{many} and parts of {many}",
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
PLACES = {
  "top": (
    "the top of the picture",
    "upper parts of pictures",
    "the upper edge of the image",
    "areas at the top",
    "what is at the top of the scene",
  ),
  "bottom": (
    "the bottom of the picture",
    "lower parts of pictures",
    "the lower edge of the image",
    "areas at the bottom",
    "what is at the bottom of the scene",
  ),
  "left": (
    "the left side of the picture",
    "left parts of pictures",
    "the left edge of the image",
    "areas on the left",
    "what is on the left of the scene",
  ),
  "right": (
    "the right side of the picture",
    "right parts of pictures",
    "the right edge of the image",
    "areas on the right",
    "what is on the right of the scene",
  ),
  "border": (
    "the borders of the picture",
    "the outer edges of pictures",
    "the frame of the image",
    "areas along the sides of the image",
    "the sides and corners of the picture",
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
