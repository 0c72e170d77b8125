"""Hand-built units over image arrays: colors, edges, spots, stripes, smoothness.

Images are square RGB, 0 to 1; the side of a unit's map is a quarter of theirs. This
module shares no code with the corpus that the captioner is trained on.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.lab.evaluation.looks import (
  BRIGHT_WORDS,
  COLOR_WORDS,
  DARK_WORDS,
  EDGE_WORDS,
  ORIENTATION_WORDS,
  SMOOTH_WORDS,
  SPOT_WORDS,
  STRIPE_WORDS,
  TEXTURE_WORDS,
)
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.model_options import Network, make_network
from milan_jax._src.text.judge import Truth

LAYER = "hand_built"
SIZE = 224
CELL = 4  # pixels of an image's side per cell of a map
PREPROCESSING = Preprocessing(256, SIZE, "bicubic", (0.0,) * 3, (255.0,) * 3)

Gray = Float[Array, "batch height width"]
Cells = Float[Array, "batch rows columns"]


class _Window(NamedTuple):
  """A color: hue and its half-width in degrees; minimum and maximum of the others."""

  hue: float
  width: float
  saturation: tuple[float, float]
  value: tuple[float, float]


# White, gray and black accept any hue.
_WINDOWS = {
  "red": _Window(356, 13, (0.55, 2), (0.35, 2)),
  "orange": _Window(28, 9, (0.65, 2), (0.65, 2)),
  "yellow": _Window(54, 8, (0.5, 2), (0.65, 2)),
  "green": _Window(110, 35, (0.3, 2), (0.25, 2)),
  "blue": _Window(218, 25, (0.4, 2), (0.3, 2)),
  "purple": _Window(280, 20, (0.25, 2), (0.25, 2)),
  "pink": _Window(338, 16, (0.2, 0.65), (0.7, 2)),
  "brown": _Window(24, 12, (0.4, 0.85), (0.2, 0.5)),
  "white": _Window(0, 400, (-1, 0.1), (0.9, 2)),
  "gray": _Window(0, 400, (-1, 0.1), (0.35, 0.65)),
  "black": _Window(0, 400, (-1, 9), (-1, 0.12)),
}
# The directions of edges, in degrees; rows count downward.
_ANGLES = {"horizontal": 0, "falling": 45, "vertical": 90, "rising": 135}
_SCALES = {"fine": 1.2, "coarse": 3.0}  # standard deviation across an edge, in pixels
_SIDES = {
  "dark above": ("horizontal", 1),
  "dark below": ("horizontal", -1),
  "dark on the left": ("vertical", 1),
  "dark on the right": ("vertical", -1),
}
_SIDE_WORDS = {
  "dark above": ({"above", "top", "upper", "over"}, {"below", "bottom", "lower"}),
  "dark below": ({"below", "bottom", "lower", "under"}, {"above", "top", "upper"}),
  "dark on the left": ({"left"}, {"right"}),
  "dark on the right": ({"right"}, {"left"}),
}


def units() -> Network:
  """Returns the network of these units, for `--model`."""
  probe = CallableProbe(lambda images: {LAYER: activations(images)}, PREPROCESSING)
  return make_network(probe, PREPROCESSING, (LAYER,))


def truths() -> tuple[Truth, ...]:
  """Returns the truth of each unit, in the order of `activations`."""
  return tuple(_truths())


def _truths() -> list[Truth]:
  found = [_truth(f"{color} areas", COLOR_WORDS[color], {color}) for color in _WINDOWS]
  for scale in _SCALES:
    for name, ways in ((name, ORIENTATION_WORDS[name]) for name in _ANGLES):
      shown = f"{name} diagonal" if name in ("rising", "falling") else name
      found.append(_truth(f"{scale} {shown} edges", ways, ways, EDGE_WORDS))
  for side, (way, _) in _SIDES.items():
    near, far = _SIDE_WORDS[side]
    found.append(
      _truth(
        f"edges that are {side}", ORIENTATION_WORDS[way], near | far, EDGE_WORDS | near
      )
    )
  found += [
    _truth("bright spots", SPOT_WORDS | BRIGHT_WORDS, SPOT_WORDS, BRIGHT_WORDS),
    _truth("dark spots", SPOT_WORDS | DARK_WORDS, SPOT_WORDS, DARK_WORDS),
  ]
  for name in ("horizontal", "vertical"):
    ways = ORIENTATION_WORDS[name]
    found.append(_truth(f"{name} stripes", STRIPE_WORDS | ways, ways, STRIPE_WORDS))
  return [
    *found,
    _truth("bright areas", BRIGHT_WORDS, BRIGHT_WORDS),
    _truth("dark areas", DARK_WORDS, DARK_WORDS),
    _truth("smooth areas", SMOOTH_WORDS, SMOOTH_WORDS),
    _truth("fine texture", TEXTURE_WORDS, TEXTURE_WORDS),
  ]


def _truth(name: str, lenient: set[str], *strict: set[str]) -> Truth:
  return Truth(
    name, frozenset(lenient), tuple(frozenset(group) for group in strict), (name,)
  )


def activations(
  images: Float[Array, "batch size size 3"],
) -> Float[Array, "batch places places units"]:
  """Returns the maps of all units."""
  light = images @ jnp.asarray([0.299, 0.587, 0.114])
  maps = [_cells(window) for window in _colors(images)]
  signed = {scale: _edges(light, sigma) for scale, sigma in _SCALES.items()}
  for edges in signed.values():
    maps += [_cells(each) for each in _winners(jnp.abs(edges))]
  sided = _winners(jnp.abs(signed["coarse"]))
  order = list(_ANGLES)
  for way, sign in _SIDES.values():
    place = order.index(way)
    rising = sign * signed["coarse"][place] > 0
    maps.append(_cells(jnp.where(rising, sided[place], 0.0)))
  strongest = jnp.abs(signed["coarse"]).max(0)
  spots = _blur(light, 2.5) - _blur(light, 5.0)
  maps += [_cells(jax.nn.relu(sign * spots - 0.5 * strongest)) for sign in (1, -1)]
  maps += _stripes(light)
  smooth, fine = _blur(light, 4.0), jnp.abs(light - _blur(light, 1.2))
  contrast = jnp.sqrt(jax.nn.relu(_blur(light**2, 4.0) - smooth**2) + 1e-6)
  maps += [_cells(smooth), _cells(1 - smooth)]
  maps += [_cells(_blur(jnp.exp(-60 * contrast), 6.0)), _cells(_blur(fine, 6.0))]
  return jnp.stack(maps, -1)


def _colors(images: Float[Array, "batch size size 3"]) -> list[Gray]:
  red, green, blue = images[..., 0], images[..., 1], images[..., 2]
  value, least = images.max(-1), images.min(-1)
  chroma = value - least
  safe = jnp.where(chroma > 1e-4, chroma, 1.0)
  sector = jnp.where(
    value == red,
    ((green - blue) / safe) % 6,
    jnp.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
  )
  hue, saturation = 60 * sector, chroma / (value + 1e-3)
  found = []
  for window in _WINDOWS.values():
    away = jnp.abs((hue - window.hue + 180) % 360 - 180)
    inside = jax.nn.sigmoid((window.width - away) / 3)
    for amount, (low, high) in (
      (saturation, window.saturation),
      (value, window.value),
    ):
      inside *= jax.nn.sigmoid((amount - low) / 0.03)
      inside *= jax.nn.sigmoid((high - amount) / 0.03)
    found.append(_blur(inside, 3.0))
  return found


def _edges(light: Gray, sigma: float) -> Float[Array, "ways batch height width"]:
  """Returns the lightness difference across edges, for each direction."""
  kernels = [_edge_kernel(np.deg2rad(angle), sigma) for angle in _ANGLES.values()]
  return _filtered(light, np.stack(kernels))


def _edge_kernel(angle: float, sigma: float) -> Float[np.ndarray, "side side"]:
  along, across = _axes(int(np.ceil(6 * sigma)), angle)
  envelope = np.exp(-0.5 * ((across / sigma) ** 2 + (along / (2.5 * sigma)) ** 2))
  kernel: np.ndarray = across * envelope
  kernel = kernel / np.abs(kernel).sum() * 2
  return kernel


def _axes(
  reach: int, angle: float
) -> tuple[Float[np.ndarray, "side side"], Float[np.ndarray, "side side"]]:
  rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
  along = columns * np.cos(angle) + rows * np.sin(angle)
  # Positive below a horizontal edge, and to the right of a vertical one.
  across = rows * np.cos(angle) - columns * np.sin(angle)
  return along, -across if angle > np.pi / 4 + 1e-6 else across


def _winners(
  strengths: Float[Array, "ways batch height width"],
) -> list[Gray]:
  """Returns how far each direction's strength exceeds that of all others."""
  found = []
  for place in range(len(strengths)):
    others = jnp.delete(strengths, place, axis=0).max(0)
    found.append(jax.nn.relu(strengths[place] - others))
  return found


def _stripes(light: Gray) -> list[Cells]:
  """Returns horizontal and vertical stripes of 10 pixels, at least three in a row."""
  half = _mean_cells(light, 2)
  wave = 5  # in pixels of the halved image
  energies = []
  for angle in _ANGLES.values():
    along, across = _axes(12, np.deg2rad(angle))
    envelope = np.exp(-0.5 * ((across / 4) ** 2 + (along / 5) ** 2))
    pair = []
    for shape in (np.cos, np.sin):
      kernel = shape(2 * np.pi * across / wave) * envelope
      kernel -= envelope * kernel.sum() / envelope.sum()
      pair.append(kernel / np.abs(kernel).sum() * 2)
    even, odd = _filtered(half, np.stack(pair))
    energies.append(jnp.sqrt(even**2 + odd**2 + 1e-8))
  found = []
  best = _winners(jnp.stack(energies))
  for name, axis in (("horizontal", 1), ("vertical", 2)):
    own = best[list(_ANGLES).index(name)]
    beside = [jnp.roll(own, shift, axis) for shift in (-wave, wave)]
    found.append(_mean_cells(jnp.minimum(own, jnp.minimum(*beside)), CELL // 2))
  return found


def _filtered(
  maps: Gray, kernels: Float[np.ndarray, "filters side side"]
) -> Float[Array, "filters batch height width"]:
  """Correlates maps with a kernel; pads by repeating the border pixels."""
  reach = kernels.shape[-1] // 2
  padded = jnp.pad(maps, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
  found = jax.lax.conv_general_dilated(
    padded[:, None], jnp.asarray(kernels, jnp.float32)[:, None], (1, 1), "VALID"
  )
  return jnp.moveaxis(found, 1, 0)


def _blur(maps: Gray, sigma: float) -> Gray:
  reach = int(np.ceil(2.5 * sigma))
  weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
  weights /= weights.sum()
  across = _one_way(maps, weights, lambda array: array)
  return _one_way(across, weights, lambda array: jnp.swapaxes(array, 1, 2))


def _one_way(
  maps: Gray, weights: Float[np.ndarray, "side"], turn: Callable[[Array], Array]
) -> Gray:
  reach = len(weights) // 2
  maps = jnp.pad(turn(maps), ((0, 0), (0, 0), (reach, reach)), mode="edge")
  width = maps.shape[2] - 2 * reach
  return turn(
    sum(
      weight * jax.lax.slice_in_dim(maps, place, place + width, axis=2)
      for place, weight in enumerate(weights.tolist())
    )
  )


def _cells(maps: Gray) -> Cells:
  return _mean_cells(maps, CELL)


def _mean_cells(maps: Gray, cell: int) -> Cells:
  batch, height, width = maps.shape
  blocks = maps.reshape(batch, height // cell, cell, width // cell, cell)
  return blocks.mean((2, 4))
