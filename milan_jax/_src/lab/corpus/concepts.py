"""The table of measured concepts, each with its response function and phrasings."""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import numpy as np

from milan_jax._src.lab.corpus import color_phrasings, phrasings, responses
from milan_jax._src.lab.corpus.measures import GRIDS, Map, Measures

# A color must fill most of a cell.
COLOR_FLOOR = 0.5
COMBINED_FLOOR = 0.15
# Other properties only have to be present; the best regions show them most strongly.
FLOOR = 0.05
FINE_GRIDS = (112, 56, 28)
MIDDLE_GRIDS = (112, 56, 28, 14)

COLORS = (
  "red",
  "orange",
  "yellow",
  "green",
  "blue",
  "purple",
  "pink",
  "brown",
  "white",
  "gray",
  "black",
)
SHADES = (
  "dark red",
  "bright red",
  "dark green",
  "light green",
  "bright green",
  "teal",
  "dark blue",
  "light blue",
  "bright blue",
  "dark brown",
  "tan",
  "light gray",
  "dark gray",
)
PAIRS = (
  ("black", "white"),
  ("blue", "white"),
  ("blue", "green"),
  ("blue", "brown"),
  ("green", "brown"),
  ("green", "white"),
  ("green", "black"),
  ("green", "red"),
  ("green", "yellow"),
  ("red", "white"),
  ("red", "black"),
  ("red", "blue"),
  ("yellow", "black"),
  ("yellow", "blue"),
  ("orange", "black"),
  ("orange", "blue"),
  ("brown", "white"),
  ("tan", "black"),
  ("pink", "green"),
)


@dataclasses.dataclass(frozen=True)
class Concept:
  """A property of pixels that a unit can represent.

  Attributes:
    name: its name in the manifest.
    family: its group of concepts.
    response: maps the measures on a grid to the concept's strength per cell, 0 to 1.
    phrasings: paraphrases, the short ones first.
    floor: the response below which the concept is not visible.
    grids: the grids on which the concept is visible.
  """

  name: str
  family: str
  response: Callable[[Measures], Map]
  phrasings: tuple[str, ...]
  floor: float = FLOOR
  grids: tuple[int, ...] = GRIDS

  @property
  def short(self) -> tuple[str, ...]:
    """The phrasings that are short enough for "X and Y"."""
    return self.phrasings[:4]


def _said(templates: Iterable[str], **words: str) -> tuple[str, ...]:
  return tuple(template.format(**words) for template in templates)


def _color_phrasings(name: str) -> tuple[str, ...]:
  plain = _said(color_phrasings.COLOR, c=name)
  others = tuple(
    template.format(c=other)
    for other in color_phrasings.OTHER_NAMES.get(name, ())
    for template in color_phrasings.COLOR[:4]
  )
  plainer = color_phrasings.PLAINER.get(name)
  return (
    plain + others + (_said(color_phrasings.COLOR[:2], c=plainer) if plainer else ())
  )


def _colors() -> Iterable[Concept]:
  for name in COLORS + SHADES:
    yield Concept(
      name,
      "colors",
      functools.partial(responses.color, name=name),
      _color_phrasings(name),
      COLOR_FLOOR,
    )
  for name, said in color_phrasings.PALETTES.items():
    measure = functools.partial(responses.color, name=name)
    yield Concept(name, "colors", measure, said, COLOR_FLOOR)
  for first, second in PAIRS:
    yield Concept(
      f"{first} and {second}",
      "color pairs",
      functools.partial(responses.color_pair, first=first, second=second),
      _said(color_phrasings.PAIR, a=first, b=second),
      COLOR_FLOOR,
      MIDDLE_GRIDS,
    )


def _light() -> Iterable[Concept]:
  measures: dict[str, Callable[[Measures], Map]] = {
    "bright": responses.bright,
    "dark": responses.dark,
    "medium": responses.medium,
    "highlights": responses.highlights,
    "shadows": responses.shadows,
    "contrast": responses.contrast,
  }
  for name, measure in measures.items():
    yield Concept(name, "light", measure, phrasings.LIGHT[name], 0.3)


def _diagonal(
  response: Callable[[Measures, str], Map],
) -> Callable[[Measures], Map]:
  """Returns a response that is the maximum over both diagonals."""
  return lambda m: np.maximum(response(m, "rising"), response(m, "falling"))


def _edges() -> Iterable[Concept]:
  yield Concept("edges", "edges", responses.edges, phrasings.EDGES["any"])
  for name in ("horizontal", "vertical", "rising", "falling"):
    measure = functools.partial(responses.oriented_edges, orientation=name)
    yield Concept(f"{name} edges", "edges", measure, phrasings.EDGES[name])
  for side, said in phrasings.SIDED_EDGES.items():
    measure = functools.partial(
      responses.sided_edges,
      orientation="horizontal" if side in ("above", "below") else "vertical",
      dark=side,
    )
    yield Concept(f"edges, dark {side}", "edges", measure, said, grids=FINE_GRIDS)


def _lines_of(kind: str) -> Callable[[Measures, str], Map]:
  return lambda m, orientation: responses.lines(m, kind, orientation)


def _lines() -> Iterable[Concept]:
  for orientation, templates in phrasings.LINES.items():
    for kind, word in (("bright", "white"), ("bright", "bright"), ("dark", "dark")):
      measure: Callable[[Measures], Map]
      if orientation == "any":
        measure = functools.partial(responses.any_lines, kind=kind)
      elif orientation == "diagonal":
        measure = _diagonal(_lines_of(kind))
      else:
        measure = functools.partial(responses.lines, kind=kind, orientation=orientation)
      if word == "white":
        measure = _and(measure, functools.partial(responses.color, name="white"))
      yield Concept(
        f"{word} lines, {orientation}",
        "lines",
        measure,
        _said(templates, k=word),
        grids=FINE_GRIDS,
      )
  for orientation, said in phrasings.STRIPES.items():
    if orientation == "any":
      measure = responses.any_stripes
    elif orientation == "diagonal":
      measure = _diagonal(responses.stripes)
    else:
      measure = functools.partial(responses.stripes, orientation=orientation)
    yield Concept(f"{orientation} stripes", "lines", measure, said)


def _shapes() -> Iterable[Concept]:
  table: dict[str, tuple[Callable[[Measures], Map], tuple[int, ...]]] = {
    "grids": (responses.grids, GRIDS),
    "bright spots": (functools.partial(responses.spots, kind="bright"), FINE_GRIDS),
    "dark spots": (functools.partial(responses.spots, kind="dark"), FINE_GRIDS),
    "dots": (responses.dots, GRIDS),
    "corners": (responses.corners, FINE_GRIDS),
    "curves": (responses.curves, FINE_GRIDS),
  }
  for name, (measure, grids) in table.items():
    yield Concept(name, "shapes", measure, phrasings.SHAPES[name], grids=grids)


def _surfaces() -> Iterable[Concept]:
  measures: dict[str, Callable[[Measures], Map]] = {
    "smooth": responses.smooth,
    "blurry": responses.blurry,
    "fine texture": responses.fine_texture,
    "coarse texture": responses.coarse_texture,
  }
  for name, measure in measures.items():
    yield Concept(name, "surfaces", measure, phrasings.SURFACES[name], 0.2)


def _and(
  first: Callable[[Measures], Map], second: Callable[[Measures], Map]
) -> Callable[[Measures], Map]:
  """Returns a response to places where both properties are present."""
  return lambda m: responses.both(first(m), second(m))


def _combinations() -> Iterable[Concept]:
  for name in (*COLORS, "tan", "light blue", "dark green"):
    colored = functools.partial(responses.color, name=name)
    table: dict[str, tuple[Callable[[Measures], Map], tuple[str, ...]]] = {
      "smooth": (_and(colored, responses.smooth), color_phrasings.COLOR_SMOOTH),
      "textured": (
        _and(colored, responses.fine_texture),
        color_phrasings.COLOR_TEXTURE,
      ),
    }
    for what, (measure, templates) in table.items():
      yield Concept(
        f"{what} {name}",
        "combinations",
        measure,
        _said(templates, c=name),
        COMBINED_FLOOR,
      )
    fine: dict[str, tuple[Callable[[Measures], Map], tuple[str, ...]]] = {
      "small": (
        functools.partial(responses.color_patch, name=name),
        color_phrasings.COLOR_PATCH,
      ),
    }
    for orientation, templates in color_phrasings.COLOR_EDGES.items():
      edge: Callable[[Measures], Map]
      if orientation == "diagonal":
        edge = _diagonal(responses.oriented_edges)
      else:
        edge = functools.partial(responses.oriented_edges, orientation=orientation)
      fine[f"{orientation} edges of"] = (_and(colored, edge), templates)
    for what, (measure, templates) in fine.items():
      yield Concept(
        f"{what} {name}",
        "combinations",
        measure,
        _said(templates, c=name),
        COMBINED_FLOOR,
        FINE_GRIDS,
      )


def table() -> tuple[Concept, ...]:
  """Returns all concepts, grouped by family."""
  return (
    *_colors(),
    *_light(),
    *_edges(),
    *_lines(),
    *_shapes(),
    *_surfaces(),
    *_combinations(),
  )
