"""Paraphrases of color concepts.

Sentences are in lower case without a final period, as annotators write them. `{c}`,
`{a}` and `{b}` are colors. The first four phrasings of a list are short, so that "X and
Y" can use them too.
"""

COLOR = (
  "{c} areas",
  "{c} things",
  "{c} parts of objects",
  "{c} surfaces",
  "the {c} parts of the picture",
  "regions that are {c}",
  "anything that is {c}",
  "patches of {c}",
  "{c} places",
  "mostly {c} regions",
  "different {c} things",
  "objects and backgrounds in {c}",
  "{c} objects of any kind",
)
COLOR_PATCH = (
  "small {c} patches",
  "{c} spots",
  "{c} details",
  "bits of {c}",
  "small parts of objects that are {c}",
  "{c} spots on a different background",
  "little {c} things",
  "small areas of {c} in the scene",
)
COLOR_SMOOTH = (
  "smooth {c} areas",
  "plain {c} surfaces",
  "flat {c} backgrounds",
  "uniform {c} regions",
  "{c} areas without any texture",
  "empty {c} backgrounds",
  "even {c} areas with no detail",
  "big smooth patches of {c}",
)
COLOR_TEXTURE = (
  "textured {c} areas",
  "{c} textures",
  "rough {c} surfaces",
  "grainy {c} areas",
  "{c} surfaces with a lot of detail",
  "{c} regions with a fine texture",
  "{c} areas that look rough",
  "busy {c} textures",
)
COLOR_EDGES = {
  "horizontal": (
    "{c} horizontal edges",
    "horizontal {c} lines",
    "horizontal edges in {c}",
    "level edges of {c} things",
    "edges of {c} objects that run sideways",
    "horizontal borders of {c} areas",
    "{c} things with horizontal lines",
  ),
  "vertical": (
    "{c} vertical edges",
    "vertical {c} lines",
    "vertical edges in {c}",
    "upright edges of {c} things",
    "edges of {c} objects that go up and down",
    "vertical borders of {c} areas",
    "{c} things with vertical lines",
  ),
  "diagonal": (
    "{c} diagonal edges",
    "diagonal {c} lines",
    "slanted edges in {c}",
    "slanting edges of {c} things",
    "edges of {c} objects that run at an angle",
    "diagonal borders of {c} areas",
    "{c} things with slanted lines",
  ),
}
PAIR = (
  "{a} and {b} areas",
  "{a} next to {b}",
  "{b} and {a} together",
  "borders between {a} and {b}",
  "places where {a} meets {b}",
  "{a} and {b} side by side",
  "things that are {a} and {b}",
  "the edge between {b} and {a}",
  "{a} things against {b}",
)

# Synonyms of a color's name, used in some of its phrasings.
OTHER_NAMES = {
  "dark red": ("maroon", "deep red"),
  "bright red": ("vivid red", "strong red"),
  "dark green": ("deep green",),
  "light green": ("pale green",),
  "bright green": ("vivid green",),
  "teal": ("turquoise", "blue-green"),
  "dark blue": ("navy blue", "deep blue"),
  "light blue": ("pale blue", "sky blue"),
  "bright blue": ("vivid blue", "strong blue"),
  "purple": ("violet",),
  "dark brown": ("deep brown",),
  "tan": ("beige", "light brown"),
  "light gray": ("pale gray",),
  "dark gray": ("charcoal gray",),
}
# The less specific color name for the same color.
PLAINER = {
  "dark red": "red",
  "bright red": "red",
  "dark green": "green",
  "light green": "green",
  "bright green": "green",
  "teal": "blue and green",
  "dark blue": "blue",
  "light blue": "blue",
  "bright blue": "blue",
  "dark brown": "brown",
  "light gray": "gray",
  "dark gray": "gray",
}
PALETTES = {
  "warm colors": (
    "warm colors",
    "warm colored areas",
    "reds, oranges and yellows",
    "red, orange or yellow things",
    "areas in warm tones",
    "things with a reddish or yellowish color",
    "yellow and red hues",
    "warm shades of red and orange",
  ),
  "cool colors": (
    "cool colors",
    "cool colored areas",
    "blues and greens",
    "bluish regions",
    "areas in cool tones",
    "things with a blue or green color",
    "blue and greenish hues",
    "cold shades of blue and teal",
  ),
  "vivid colors": (
    "vivid colors",
    "very colorful areas",
    "brightly colored things",
    "strong colors",
    "areas with intense color",
    "saturated colors of any kind",
    "colorful parts of objects",
    "things that have a bright color",
  ),
  "pale colors": (
    "pale colors",
    "pale areas",
    "light colored surfaces",
    "pastel colors",
    "areas in soft, pale tones",
    "washed out colors",
    "faintly colored light surfaces",
    "light things with only a hint of color",
  ),
  "colorless": (
    "gray tones",
    "colorless areas",
    "colorless surfaces",
    "black and white areas",
    "gray parts of the picture",
    "grayish things",
    "black, gray and white regions",
    "neutral tones",
  ),
}
