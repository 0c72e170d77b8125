"""What EfficientNet-Lite0's stem units prefer, from their kernels alone.

Every filter is shown synthetic 3 x 3 patches through its kernel, batch norm folded in:
uniform ones of named colours, and edges and lines of four orientations between black,
white and every pair of colours. No photograph and no captioner is involved.
"""

import colorsys
import dataclasses
import re

import numpy as np

from milan_jax.store.packaged_weights import packaged_weights
from milan_jax.store.torch_files import read_state_dict

# Several shades for every colour that people name.
SHADES = {
  "red": [(220, 30, 30), (255, 0, 0), (150, 20, 20)],
  "orange": [(240, 130, 20), (255, 165, 0)],
  "yellow": [(250, 220, 40), (255, 255, 0)],
  "green": [(30, 160, 40), (0, 255, 0), (20, 90, 30)],
  "blue": [(30, 60, 220), (0, 0, 255), (20, 30, 120), (0, 120, 200)],
  "purple": [(128, 0, 160), (160, 60, 220), (255, 0, 255)],
  "pink": [(255, 150, 200), (255, 90, 170)],
  "brown": [(120, 70, 30), (90, 50, 20)],
  "white": [(255, 255, 255), (235, 235, 235)],
  "gray": [(128, 128, 128), (160, 160, 160), (90, 90, 90)],
  "black": [(0, 0, 0), (25, 25, 25)],
}
# What else people call them.
SYNONYMS = {
  "white": {"white", "bright", "light", "lightest", "brightest", "shiny", "shining"}
  | {"highlights", "overexposed", "lit"},
  "black": {"black", "dark", "darkest", "shadows", "shaded", "unlit"},
  "gray": {"gray", "grayish", "dull"},
  "purple": {"purple", "pink", "violet", "magenta"},
  "pink": {"pink", "purple", "violet", "magenta"},
  "orange": {"orange", "red", "brown", "tan"},
  "brown": {"brown", "orange", "tan", "red"},
  "blue": {"blue", "bluish", "teal", "cyan"},
  "green": {"green", "greenish", "teal"},
}
ORIENTATIONS = {
  "horizontal": {"horizontal", "level", "sideways", "across", "tops", "bottoms"}
  | {"top", "bottom", "above", "below", "left to right"},
  "vertical": {"vertical", "upright", "up and down", "top to bottom"}
  | {"left", "right", "sides"},
  "rising": {"diagonal", "slanted", "slanting", "angle", "rising", "leaning", "slopes"},
  "falling": {
    "diagonal",
    "slanted",
    "slanting",
    "angle",
    "falling",
    "leaning",
    "slopes",
  },
}
# A preference is named if it comes this near to the strongest one.
NEAR = 0.85
# An edge between two colours has a uniform part of about a half, so that a filter for a
# colour likes some edges better than any uniform patch: colours count from here on.
UNIFORM_PART = 0.5
# A filter whose weights add up to less than this, in units of its output, is dead.
DEAD = 0.1


@dataclasses.dataclass(frozen=True)
class Preference:
  """What a filter prefers: each a set of names, either may be empty."""

  colors: frozenset[str]
  orientations: frozenset[str]

  def agrees(self, description: str) -> bool:
    """Whether a description names a colour or an orientation that is preferred."""
    words = {word for name in self.colors for word in SYNONYMS.get(name, {name})}
    words |= {word for name in self.orientations for word in ORIENTATIONS[name]}
    pattern = r"\b(" + "|".join(sorted(words)) + r")\b"
    # What a description denies it does not name: "green things with no blue lines".
    said = re.sub(r"\b(no|without)\b.*", "", description.lower())
    return re.search(pattern, said) is not None


def kernels() -> np.ndarray:
  """The stem's kernels times the scale of their batch norm, `(32, 3, 3, 3)`."""
  weights = read_state_dict(packaged_weights("efficientnet-lite0"))
  variance = weights["_bn0.running_var"].astype(float) + 1e-3
  scale = weights["_bn0.weight"] / np.sqrt(variance)
  return weights["_conv_stem.weight"] * scale[:, None, None, None]


def _patterns():
  """Masks of 3 x 3 pixels that are one colour, the rest another, by orientation."""
  rows, columns = np.mgrid[:3, :3] - 1
  axes = {
    "horizontal": rows,
    "vertical": columns,
    "rising": rows + columns,
    "falling": rows - columns,
  }
  for name, place in axes.items():
    for edge in (-0.5, 0.5):
      yield name, place > edge
    yield name, place == 0


def preferences() -> dict[int, Preference]:
  """The preference of every filter that is not dead, by its number."""
  flat = {
    (name, shade): (np.array(shade) - 127) / 128
    for name, shades in SHADES.items()
    for shade in shades
  }
  hues = [colorsys.hsv_to_rgb(hue / 6, 1, 1) for hue in range(6)]
  ends = [np.array(color) * 2 - 1 for color in [(0, 0, 0), (1, 1, 1), *hues]]
  found = {}
  for unit, kernel in enumerate(kernels()):
    if np.abs(kernel).sum() < DEAD:
      continue
    uniform = {
      name: max(
        float(kernel.sum((1, 2)) @ color)
        for (own, _), color in flat.items()
        if own == name
      )
      for name in SHADES
    }
    oriented = {}
    for name, mask in _patterns():
      for one in ends:
        for other in ends:
          patch = np.where(mask[None], one[:, None, None], other[:, None, None])
          score = float((kernel * patch).sum())
          oriented[name] = max(oriented.get(name, -np.inf), score)
    best_color, best_way = max(uniform.values()), max(oriented.values())
    colors = best_color >= UNIFORM_PART * best_way
    ways = best_way >= best_color / NEAR
    span = best_color - min(uniform.values())
    found[unit] = Preference(
      colors=frozenset(
        name
        for name, score in uniform.items()
        if colors and score >= best_color - (1 - NEAR) * span
      ),
      orientations=frozenset(
        name for name, score in oriented.items() if ways and score >= NEAR * best_way
      ),
    )
  return found
