"""Responses to properties of a photograph, per cell, from 0 to 1.

Each function takes the measures on one grid and returns a map on that grid, like the
activation map of a unit.
"""

import numpy as np

from milan_jax._src.lab.corpus import filters
from milan_jax._src.lab.corpus.measures import Map, Measures

# The measure at which each response is one half, chosen by inspecting photographs.
EDGE_HALF = 0.06
LINE_HALF = 0.012
STRIPE_HALF = 0.0006
SPOT_HALF = 0.01
DOT_HALF = 0.00008
CORNER_HALF = 0.012
CURVE_HALF = 0.02
FINE_HALF = 0.03
COARSE_HALF = 0.05
QUIET_HALF = 0.015
CONTRAST_HALF = 0.2
SHADE_HALF = 0.06
RELIEF_HALF = 0.15


def _rising(values: Map, half: float) -> Map:
  """Returns 0 at 0 and one half at `half`, and approaches 1."""
  values = np.maximum(values, 0)
  return values / (values + half)


def _ramp(values: Map, low: float, high: float) -> Map:
  """Returns 0 up to `low`, 1 from `high`, and is linear in between."""
  return np.clip((values - low) / (high - low), 0, 1)


def both(first: Map, second: Map) -> Map:
  """Both properties at once: the geometric mean, zero where either is zero."""
  mean: Map = np.sqrt(np.maximum(first, 0) * np.maximum(second, 0))
  return mean


def _surroundings(values: Map) -> Map:
  """Returns a mean over about a seventh of the photograph's side."""
  return filters.filtered(values, values.shape[-1] / 14)


def _nearby(values: Map) -> Map:
  """Extends an area by a few pixels, so that its border responds too."""
  return filters.filtered(values, max(0.3, values.shape[-1] / 56))


def color(m: Measures, name: str) -> Map:
  """The fraction of each cell that has a color."""
  return m[name]


def color_patch(m: Measures, name: str) -> Map:
  """A color that is absent from the surroundings."""
  return np.maximum(m[name] - 1.5 * _surroundings(m[name]), 0)


def color_pair(m: Measures, first: str, second: str) -> Map:
  """Two colors side by side."""
  return 2 * both(_nearby(m[first]), _nearby(m[second]))


def _match(m: Measures, kind: str, orientation: str) -> Map:
  """Returns 1 where all slopes match an orientation, 0 where they are diagonal."""
  power = m[f"{kind} power"] + 1e-5
  part = {
    "horizontal": -m[f"{kind} cos2"],
    "vertical": m[f"{kind} cos2"],
    "rising": m[f"{kind} sin2"],
    "falling": -m[f"{kind} sin2"],
  }[orientation]
  return _ramp(part / power, 0.4, 0.9)


def edges(m: Measures) -> Map:
  """Edges that are stronger than their surroundings."""
  slope = np.sqrt(np.maximum(m["edge power"], 0))
  return _rising(slope - m["busy"], EDGE_HALF)


def oriented_edges(m: Measures, orientation: str) -> Map:
  """Edges of one orientation: `rising` goes up to the right, `falling` down."""
  slope = np.sqrt(np.maximum(m["edge power"], 0))
  edges: Map = _rising(slope, EDGE_HALF) * _match(m, "edge", orientation)
  return edges


def sided_edges(m: Measures, orientation: str, dark: str) -> Map:
  """Horizontal or vertical edges that are dark on a given side.

  Args:
    m: the measures.
    orientation: "horizontal" or "vertical".
    dark: "above" or "below" a horizontal edge; "left" or "right" of a vertical one.
  """
  slope = m["slope down"] if orientation == "horizontal" else m["slope right"]
  signed = slope if dark in ("above", "left") else -slope
  steady = signed / np.sqrt(m["edge power"] + 1e-5)
  edges: Map = oriented_edges(m, orientation) * _ramp(steady, 0.1, 0.7)
  return edges


def lines(m: Measures, kind: str, orientation: str) -> Map:
  """Thin `bright` or `dark` lines of one orientation."""
  return _rising(m[f"{kind} line {orientation}"], LINE_HALF)


def any_lines(m: Measures, kind: str) -> Map:
  """Thin `bright` or `dark` lines of any orientation."""
  names = ("horizontal", "vertical", "rising", "falling")
  largest: Map = np.maximum.reduce([lines(m, kind, name) for name in names])
  return largest


def stripes(m: Measures, orientation: str) -> Map:
  """Many parallel lines, alternately bright and dark."""
  turns = both(m[f"bright stripes {orientation}"], m[f"dark stripes {orientation}"])
  found: Map = _rising(turns, STRIPE_HALF) * _match(m, "patch", orientation)
  return found


def any_stripes(m: Measures) -> Map:
  """Many parallel lines of any orientation."""
  names = ("horizontal", "vertical", "rising", "falling")
  largest: Map = np.maximum.reduce([stripes(m, name) for name in names])
  return largest


def grids(m: Measures) -> Map:
  """Horizontal and vertical lines together, with few slanted lines."""
  turns = [
    both(m[f"bright stripes {name}"], m[f"dark stripes {name}"])
    for name in ("horizontal", "vertical")
  ]
  square = _ramp(m["patch cos4"] / (m["patch power"] + 1e-5), 0.2, 0.7)
  found: Map = _rising(both(*turns), STRIPE_HALF / 2) * square
  return found


def spots(m: Measures, kind: str) -> Map:
  """Isolated `bright` or `dark` spots."""
  return _rising(m[f"{kind} spot"], SPOT_HALF)


def dots(m: Measures) -> Map:
  """Many small spots side by side, bright and dark."""
  return _rising(both(m["bright dots"], m["dark dots"]), DOT_HALF)


def corners(m: Measures) -> Map:
  """Places where edges of two orientations meet, in quiet surroundings."""
  return _rising(m["corner"], CORNER_HALF)


def curves(m: Measures) -> Map:
  """Edges that bend."""
  return _rising(m["curve"], CURVE_HALF)


def _no_direction(m: Measures) -> Map:
  turned = np.hypot(m["patch cos2"], m["patch sin2"]) / (m["patch power"] + 1e-5)
  return 1 - _ramp(turned, 0.4, 0.8)


def fine_texture(m: Measures) -> Map:
  """Small detail everywhere, without a dominant orientation."""
  share = m["fine"] / (m["fine"] + m["coarse"] + 1e-3)
  texture: Map = (
    _rising(m["fine"], FINE_HALF) * _ramp(share, 0.2, 0.5) * _no_direction(m)
  )
  return texture


def coarse_texture(m: Measures) -> Map:
  """Large detail everywhere, without a dominant orientation."""
  share = m["coarse"] / (m["fine"] + m["coarse"] + 1e-3)
  texture: Map = (
    _rising(m["coarse"], COARSE_HALF) * _ramp(share, 0.5, 0.7) * _no_direction(m)
  )
  return texture


def smooth(m: Measures) -> Map:
  """Uniform areas: neither detail nor shading."""
  return 1 - _rising(m["sharp"] + m["contrast"] / 2, QUIET_HALF)


def blurry(m: Measures) -> Map:
  """Out of focus: soft shapes, no detail."""
  soft: Map = _rising(m["slow"], SHADE_HALF) * (1 - _rising(m["sharp"], QUIET_HALF))
  return soft


def contrast(m: Measures) -> Map:
  """Bright and dark side by side."""
  return _rising(m["contrast"], CONTRAST_HALF)


def bright(m: Measures) -> Map:
  """Light areas."""
  return _ramp(m["lightness"], 0.75, 1.0)


def dark(m: Measures) -> Map:
  """Dark areas."""
  return 1 - _ramp(m["lightness"], 0.1, 0.4)


def medium(m: Measures) -> Map:
  """Neither light nor dark."""
  return 1 - _ramp(np.abs(m["lightness"] - 0.55), 0.05, 0.2)


def highlights(m: Measures) -> Map:
  """Bright places that stand out from darker surroundings."""
  return both(_rising(m["above"], RELIEF_HALF), _ramp(m["lightness"], 0.7, 0.95))


def shadows(m: Measures) -> Map:
  """Dark places that stand out from lighter surroundings."""
  return both(_rising(m["below"], RELIEF_HALF), 1 - _ramp(m["lightness"], 0.15, 0.5))
