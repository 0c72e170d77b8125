"""Membership of each pixel in each named color.

Colors are windows in OKLCH: lightness 0 to 1, chroma (0 gray, .1 plain, .25 vivid)
and hue in degrees (29 red, 70 orange, 110 yellow, 142 green, 195 teal, 264 blue, 328
purple).

Source: Ottosson, A perceptual color space for image processing (2020). The windows were
set by inspecting photographs.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

_TO_LMS = np.array(
  [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
  ],
  np.float32,
)
_TO_LAB = np.array(
  [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
  ],
  np.float32,
)


def _linear_light() -> Float[np.ndarray, "256"]:
  level = np.arange(256) / 255
  curve = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
  return curve.astype(np.float32)


_LINEAR = _linear_light()


def oklab(
  image: UInt8[np.ndarray, "height width 3"],
) -> Float[np.ndarray, "3 height width"]:
  """Converts sRGB pixels to OKLab: lightness, green to red, blue to yellow."""
  lms = np.cbrt(_LINEAR[image] @ _TO_LMS.T)
  return np.ascontiguousarray(np.moveaxis(lms @ _TO_LAB.T, -1, 0))


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
  """A soft box in OKLCH: 1 inside, 0 beyond its margins.

  Attributes:
    hue: start and end of the arc, in degrees; the end may exceed 360. None accepts
      every hue.
    chroma: minimum and maximum.
    lightness: minimum and maximum.
  """

  hue: tuple[float, float] | None
  chroma: tuple[float, float]
  lightness: tuple[float, float]


HUE_MARGIN = 7.0
CHROMA_MARGIN = 0.015
LIGHTNESS_MARGIN = 0.05
_ANY = (-1.0, 2.0)

WINDOWS: dict[str, Window] = {
  "red": Window((10.0, 36.0), (0.11, 1.0), (0.3, 0.72)),
  "dark red": Window((8.0, 38.0), (0.08, 1.0), (0.2, 0.42)),
  "bright red": Window((14.0, 36.0), (0.18, 1.0), (0.5, 0.75)),
  "orange": Window((42.0, 72.0), (0.11, 1.0), (0.6, 0.9)),
  "yellow": Window((84.0, 116.0), (0.10, 1.0), (0.7, 1.0)),
  "green": Window((120.0, 166.0), (0.05, 1.0), (0.25, 0.9)),
  "dark green": Window((116.0, 168.0), (0.035, 1.0), (0.15, 0.4)),
  "light green": Window((116.0, 160.0), (0.06, 1.0), (0.72, 0.97)),
  "bright green": Window((118.0, 158.0), (0.15, 1.0), (0.5, 0.95)),
  "teal": Window((172.0, 216.0), (0.045, 1.0), (0.35, 0.95)),
  "blue": Window((222.0, 286.0), (0.06, 1.0), (0.2, 0.85)),
  "dark blue": Window((226.0, 290.0), (0.04, 1.0), (0.12, 0.42)),
  "light blue": Window((210.0, 275.0), (0.03, 0.14), (0.72, 0.95)),
  "bright blue": Window((225.0, 280.0), (0.13, 1.0), (0.35, 0.8)),
  "purple": Window((290.0, 336.0), (0.07, 1.0), (0.2, 0.78)),
  "pink": Window((338.0, 378.0), (0.06, 1.0), (0.66, 0.95)),
  "brown": Window((38.0, 82.0), (0.045, 0.13), (0.27, 0.58)),
  "dark brown": Window((35.0, 85.0), (0.025, 0.1), (0.18, 0.36)),
  "tan": Window((55.0, 95.0), (0.035, 0.1), (0.64, 0.88)),
  "white": Window(None, (-1.0, 0.03), (0.9, 2.0)),
  "light gray": Window(None, (-1.0, 0.025), (0.72, 0.88)),
  "gray": Window(None, (-1.0, 0.025), (0.42, 0.82)),
  "dark gray": Window(None, (-1.0, 0.025), (0.27, 0.45)),
  "black": Window(None, (-1.0, 0.04), (-1.0, 0.22)),
  "warm colors": Window((5.0, 112.0), (0.11, 1.0), (0.4, 1.0)),
  "cool colors": Window((150.0, 300.0), (0.06, 1.0), (0.25, 0.95)),
  "vivid colors": Window(None, (0.17, 1.0), _ANY),
  "pale colors": Window(None, (0.025, 0.07), (0.78, 0.97)),
  "colorless": Window(None, (-1.0, 0.012), (0.2, 0.92)),
}


def _inside(
  values: Float[np.ndarray, "height width"], low: float, high: float, margin: float
) -> Float[np.ndarray, "height width"]:
  rise = (values - low) / margin + 0.5
  fall = (high - values) / margin + 0.5
  return np.clip(np.minimum(rise, fall), 0, 1)


def memberships(
  lab: Float[np.ndarray, "3 height width"],
) -> dict[str, Float[np.ndarray, "height width"]]:
  """Returns each pixel's membership in each named color, 0 to 1."""
  lightness, a, b = lab
  chroma = np.hypot(a, b)
  hue = np.degrees(np.arctan2(b, a))
  result = {}
  for name, window in WINDOWS.items():
    fit = np.minimum(
      _inside(chroma, *window.chroma, CHROMA_MARGIN),
      _inside(lightness, *window.lightness, LIGHTNESS_MARGIN),
    )
    if window.hue is not None:
      low, high = window.hue
      middle = (low + high) / 2
      off = np.abs((hue - middle + 180) % 360 - 180)
      fit = np.minimum(fit, np.clip(((high - low) / 2 - off) / HUE_MARGIN + 0.5, 0, 1))
    result[name] = fit
  return result
