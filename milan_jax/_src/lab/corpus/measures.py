"""Local measures of a photograph, from which the responses to concepts are computed.

Lightness is OKLab's, 0 to 1; slopes are per pixel. Edges, lines and grain are measured
at the photograph's 224 pixels, and larger structures at 112. `x` increases to the right
and `y` downward. Every measure is a mean over a cell of a grid, so the measures of a
coarse grid are the means of those of a finer grid.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from milan_jax._src.lab.corpus import colors, filters

SIZE = 224
GRIDS = (112, 56, 28, 14, 7)

Map = Float[np.ndarray, "grid grid"]
Pixels = Float[np.ndarray, "size size"]
Measures = Mapping[str, Map]

# In pixels at a side of 224:
EDGE_SIGMA = 1.2
LINE_SIGMA = 1.6
GRAIN_SIGMA = 1.5
# In pixels at a side of 112:
NEAR_SIGMA = 1.0
CORNER_SIGMA = 5.0
SPOT_SIGMAS = (1.25, 2.5)
CURVE_SIGMA = 1.5
CURVE_RADII = (3.0, 15.0)
CONTRAST_SIGMA = 3.0
PATCH_SIGMA = 4.0  # minimum extent of a texture
RELIEF_SIGMA = 8.0


def _everywhere(values: Map, sigma: float = PATCH_SIGMA) -> Map:
  """Returns a mean of square roots, squared: high for texture, low for one edge."""
  return filters.filtered(np.sqrt(np.maximum(values, 0)), sigma) ** 2


def _edges(lab: Float[np.ndarray, "3 pixels pixels"]) -> dict[str, Map]:
  rights = filters.halved(right := filters.filtered(lab, EDGE_SIGMA, right=1))
  downs = filters.halved(down := filters.filtered(lab, EDGE_SIGMA, down=1))
  xx = filters.halved((right**2).sum(0))
  yy = filters.halved((down**2).sum(0))
  xy = filters.halved((right * down).sum(0))
  # With the doubled angle, a horizontal and a vertical slope cancel. With the angle
  # times four, they add up.
  tensor = np.stack([xx + yy, xx - yy, 2 * xy])
  power, twice_cos, twice_sin = tensor
  four_cos = (twice_cos**2 - twice_sin**2) / (power + 1e-8)
  near = filters.filtered(tensor, NEAR_SIGMA)
  wide = filters.filtered(tensor, PATCH_SIGMA)
  least = near[0] - np.hypot(near[1], near[2])  # twice the smaller eigenvalue
  corner = np.sqrt(np.maximum(least, 0))
  return {
    "slope right": rights[0],
    "slope down": downs[0],
    "edge power": near[0],
    "edge cos2": near[1],
    "edge sin2": near[2],
    "patch power": wide[0],
    "patch cos2": wide[1],
    "patch sin2": wide[2],
    "patch cos4": filters.filtered(four_cos, PATCH_SIGMA),
    "corner": np.maximum(corner - 2 * filters.filtered(corner, CORNER_SIGMA), 0),
    "busy": _everywhere(np.sqrt(power)),
  }


def _curvatures(lightness: Map, sigma: float) -> tuple[Map, Map, Map, Map]:
  """Returns slope and second derivatives, normalized by the scale."""
  xx = filters.filtered(lightness, sigma, right=2) * sigma**2
  yy = filters.filtered(lightness, sigma, down=2) * sigma**2
  xy = filters.filtered(lightness, sigma, down=1, right=1) * sigma**2
  right = filters.filtered(lightness, sigma, right=1) * sigma
  down = filters.filtered(lightness, sigma, down=1) * sigma
  return np.hypot(right, down), xx, yy, xy


def _lines(lightness: Pixels) -> dict[str, Map]:
  """Detects ridges and valleys: curved across, straight along, with zero slope."""
  slope, xx, yy, xy = _curvatures(lightness, LINE_SIGMA)
  both = (xx + yy) / 2
  result = {}
  for orientation, across, along in (
    ("horizontal", yy, xx),
    ("vertical", xx, yy),
    ("rising", both + xy, both - xy),
    ("falling", both - xy, both + xy),
  ):
    # The slope is weighted by 1.5 because the foot of a line curves the other way, and
    # would otherwise be detected as a line of the opposite contrast.
    bar = np.abs(along) + 1.5 * slope
    for kind, curved in (("bright", -across), ("dark", across)):
      line = filters.halved(np.maximum(curved - bar, 0))
      result[f"{kind} line {orientation}"] = line
      result[f"{kind} stripes {orientation}"] = _everywhere(line)
  return result


def _spots(lightness: Map) -> dict[str, Map]:
  """Detects peaks and pits: curved the same way in all directions, with zero slope."""
  bright, dark = [], []
  for sigma in SPOT_SIGMAS:
    slope, xx, yy, xy = _curvatures(lightness, sigma)
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    bright.append(np.maximum(-middle - spread - slope / 2, 0))
    dark.append(np.maximum(middle - spread - slope / 2, 0))
  return {
    "bright spot": np.maximum(*bright),
    "dark spot": np.maximum(*dark),
    "bright dots": _everywhere(bright[0]),
    "dark dots": _everywhere(dark[0]),
  }


def _curves(lightness: Map) -> dict[str, Map]:
  """Detects curved edges: strong slope, and a radius within `CURVE_RADII`."""
  slope, xx, yy, xy = _curvatures(lightness, CURVE_SIGMA)
  right = filters.filtered(lightness, CURVE_SIGMA, right=1) * CURVE_SIGMA
  down = filters.filtered(lightness, CURVE_SIGMA, down=1) * CURVE_SIGMA
  bend = np.abs(xx * down**2 - 2 * right * down * xy + yy * right**2)
  bend /= CURVE_SIGMA * (slope + 3e-3) ** 3  # inverse of the radius
  shortest, longest = CURVE_RADII
  fits = np.clip(2 * longest * bend - 1, 0, 1) * np.clip(4 - 4 * shortest * bend, 0, 1)
  return {"curve": filters.filtered(slope * fits, NEAR_SIGMA)}


def _textures(lightness: Pixels) -> dict[str, Map]:
  grain = np.abs(lightness - filters.filtered(lightness, GRAIN_SIGMA))
  half = filters.halved(lightness)
  mean = filters.filtered(half, CONTRAST_SIGMA)
  variance = filters.filtered(half**2, CONTRAST_SIGMA) - mean**2
  wide = filters.filtered(half, RELIEF_SIGMA)
  relief = half - wide
  return {
    "lightness": half,
    "fine": _everywhere(filters.halved(grain)),
    "coarse": _everywhere(
      np.abs(filters.filtered(half, GRAIN_SIGMA) - mean), 2 * PATCH_SIGMA
    ),
    "sharp": np.sqrt(filters.filtered(filters.halved(grain**2), CONTRAST_SIGMA)),
    "slow": np.abs(mean - wide),
    "contrast": np.sqrt(np.maximum(variance, 0)),
    "above": np.maximum(relief, 0),
    "below": np.maximum(-relief, 0),
  }


def measured(
  image: UInt8[np.ndarray, "224 224 3"],
) -> dict[int, dict[str, Map]]:
  """Returns the measures of a photograph as cell means for each grid of `GRIDS`."""
  lab = colors.oklab(image)
  half = filters.halved(lab)
  maps = {
    **_edges(lab),
    **_lines(lab[0]),
    **_spots(half[0]),
    **_curves(half[0]),
    **_textures(lab[0]),
    **colors.memberships(half),
  }
  cells = np.stack(list(maps.values()))
  result = {}
  for grid in GRIDS:
    while cells.shape[-1] > grid:
      cells = filters.halved(cells)
    result[grid] = dict(zip(maps, cells, strict=True))
  return result
