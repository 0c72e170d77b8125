"""The preferred patterns of first-layer filters, computed from their kernels.

Every filter is applied to synthetic patches of its kernel's size: uniform patches of
named colors, and edges and lines of four orientations between black, white and every
pair of colors. No photographs and no captioner are involved. Colors are RGB, 0 to 255.
"""

import colorsys
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

from milan_jax._src.lab.evaluation.looks import COLOR_WORDS, ORIENTATION_WORDS
from milan_jax._src.text.judge import Truth

# Several shades of every color name.
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
# A preference counts if its response is at least this fraction of the strongest.
NEAR = 0.85
# About half of an edge patch is uniform, so a filter for a color may respond to some
# edges more than to any uniform patch. Colors therefore count from a lower fraction.
UNIFORM_PART = 0.5
# A filter is dead if its weights sum to less than this fraction of the median filter's.
DEAD = 0.02


Colors = tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Preference:
  """The preferred colors and orientations of a filter; either may be empty."""

  colors: frozenset[str]
  orientations: frozenset[str]

  def truth(self) -> Truth:
    """Lenient: a preferred color or orientation. Strict: one of each."""
    colors = frozenset().union(*(COLOR_WORDS[name] for name in self.colors))
    ways = frozenset().union(*(ORIENTATION_WORDS[name] for name in self.orientations))
    groups = [group for group in (colors, ways) if group]
    named = [*sorted(self.colors), *sorted(self.orientations)]
    things = "edges" if self.orientations else "areas"
    return Truth(
      name=" or ".join(named),
      lenient=frozenset().union(*groups),
      strict=tuple(groups),
      references=tuple(
        [f"{name} areas" for name in sorted(self.colors)]
        + [
          "diagonal edges" if name in ("rising", "falling") else f"{name} edges"
          for name in sorted(self.orientations)
        ]
      )
      or (things,),
    )


def preferences(
  kernels: Float[np.ndarray, "units 3 size size"], *, mean: Colors, std: Colors
) -> dict[int, Preference]:
  """Returns the preference of every live filter, by its index.

  Args:
    kernels: the kernels, red first, rows before columns, multiplied by the scale of
      the batch norm.
    mean: the preprocessing mean of each color.
    std: the preprocessing standard deviation of each color.
  """

  def seen(color: Sequence[float | int]) -> Float[np.ndarray, "3"]:
    return (np.array(color, float) - mean) / std

  kernels = np.asarray(kernels, float)
  flat = {name: [seen(each) for each in shades] for name, shades in SHADES.items()}
  hues = [colorsys.hsv_to_rgb(hue / 6, 1, 1) for hue in range(6)]
  ends = [seen([255 * c for c in end]) for end in [(0, 0, 0), (1, 1, 1), *hues]]
  size = kernels.shape[-1]
  sums = np.abs(kernels).sum((1, 2, 3))
  found = {}
  for unit in np.flatnonzero(sums >= DEAD * np.median(sums)).tolist():
    kernel = kernels[unit]
    per_color = kernel.sum((1, 2))
    uniform = {
      name: max(float(per_color @ color) for color in shades)
      for name, shades in flat.items()
    }
    oriented: dict[str, float] = {}
    for name, mask in _patterns(size):
      inside = (kernel * mask).sum((1, 2))
      score = max(
        float(inside @ one + (per_color - inside) @ other)
        for one in ends
        for other in ends
      )
      oriented[name] = max(oriented.get(name, -np.inf), score)
    found[unit] = _preference(uniform, oriented)
  return found


def _preference(uniform: dict[str, float], oriented: dict[str, float]) -> Preference:
  best_color, best_way = max(uniform.values()), max(oriented.values())
  colors = best_color >= UNIFORM_PART * best_way
  ways = best_way >= best_color / NEAR
  span = best_color - min(uniform.values())
  return Preference(
    colors=frozenset(
      name
      for name, score in uniform.items()
      if colors and score >= best_color - (1 - NEAR) * span
    ),
    orientations=frozenset(
      name for name, score in oriented.items() if ways and score >= NEAR * best_way
    ),
  )


def _patterns(size: int) -> Iterator[tuple[str, Bool[np.ndarray, "size size"]]]:
  """Yields the masks of two-color patches, with their orientations."""
  rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
  axes = {
    "horizontal": rows,
    "vertical": columns,
    "rising": rows + columns,
    "falling": rows - columns,
  }
  for name, place in axes.items():
    for edge in (-0.5, 0.5):
      yield name, place > edge
    yield name, np.abs(place) < 0.75
