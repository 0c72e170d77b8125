"""Converts activations of any layout to `(batch, height, width, units)`.

A unit is a channel. Activations of convolutions and vectors are not copied.

A layout is written as its axes followed by options, such as `NLC:special=1` or
`windows:side=7:shift=3`. The axes are `NCHW`, `NHWC`, `NC` (a vector, whose units see
the whole image), `NLC` (tokens), `LNC` (tokens, batch second), `NCL` (tokens, units
before them), or `windows`.
"""

import dataclasses
import fnmatch
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError

AXES = ("NCHW", "NHWC", "NC", "NLC", "LNC", "NCL", "windows")
TOKENS = ("NLC", "LNC", "NCL")
# With more special tokens than this, a guessed grid is not plausible.
_MAX_SPECIAL = 64

_NUMBERS = ("special", "after", "token", "side", "shift", "unroll")

HELP = (
  "NCHW, NHWC, NC, NLC:special=1 (tokens, the first of which is not a patch; also LNC, "
  "NCL), NLC:after=5 (the last 5 tokens are not patches), NLC:token=0 (a single "
  "token), NLC:grid=14x14, NLC:unroll=3 (Hiera's order), or windows:side=7:shift=3"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
  """How the axes of a layer's activations are read.

  Attributes:
    axes: one of `AXES`.
    special: number of leading tokens that are not patches: class, distillation,
      registers.
    token: index of a single token to read as a vector; None reads the patches.
    grid: rows and columns of the patches, or of the map that was split into windows,
      without padding; None means a square.
    side: side of a window, in positions; None means the square root of its number of
      tokens.
    shift: positions by which the map was rolled up and left before it was split into
      windows.
    after: number of trailing tokens that are not patches, such as detection tokens.
    unroll: how many times the patches were sorted by their position in 2 x 2 squares,
      as Hiera does: first the top-left patches of all squares, and so on.
  """

  axes: str
  special: int = 0
  token: int | None = None
  grid: tuple[int, int] | None = None
  side: int | None = None
  shift: int = 0
  after: int = 0
  unroll: int = 0

  def __str__(self) -> str:
    options = {
      "special": self.special or None,
      "after": self.after or None,
      "token": self.token,
      "grid": "x".join(map(str, self.grid)) if self.grid else None,
      "side": self.side,
      "shift": self.shift or None,
      "unroll": self.unroll or None,
    }
    given = [f":{name}={value}" for name, value in options.items() if value is not None]
    return self.axes + "".join(given)


def parse_layout(text: str) -> Layout:
  """Parses a layout.

  Raises:
    UserError: if the text is not a layout.
  """
  axes, *options = text.split(":")
  values: dict[str, Any] = {}
  for option in options:
    name, _, value = option.partition("=")
    rows, _, columns = value.partition("x")
    if name == "grid" and rows.isdecimal() and columns.isdecimal():
      values[name] = (int(rows), int(columns))
    elif name in _NUMBERS and value.isdecimal():
      values[name] = int(value)
    else:
      axes = ""
  if axes not in AXES:
    raise UserError(f"{text!r} is not a layout: expected {HELP}.")
  return Layout(axes, **values)


def parse_layouts(text: str) -> dict[str, Layout]:
  """Parses `GLOB=LAYOUT,GLOB=LAYOUT`; an item without a glob applies to every layer.

  Raises:
    UserError: if an item is not a layout.
  """
  layouts = {}
  for item in filter(None, (part.strip() for part in text.split(","))):
    glob, equals, layout = item.partition("=")
    # The first = may belong to an option: `NLC:special=1` has no glob.
    if not equals or glob.split(":")[0] in AXES:
      glob, layout = "*", item
    layouts[glob] = parse_layout(layout)
  return layouts


def matching_layouts(layouts: Mapping[str, Layout], layer: str) -> dict[str, Layout]:
  """The user's layouts for a layer: by its name, or by all globs that match it."""
  if layer in layouts:
    return {layer: layouts[layer]}
  return {
    glob: layout for glob, layout in layouts.items() if fnmatch.fnmatchcase(layer, glob)
  }


def guess_layout(
  shape: tuple[int, ...],
  batch: int,
  *,
  convolution: str,
  patches: int | None = None,
  special: int | None = None,
  grid: tuple[int, int] | None = None,
  aspect: float = 1.0,
) -> Layout | None:
  """Guesses the layout of an array; None if no layout is plausible.

  The guess is shown to the user, who may set another layout.

  Args:
    shape: shape of the activations.
    batch: number of images in the batch, preferably more than one.
    convolution: `NCHW` or `NHWC`, the order of four axes if the shape is ambiguous.
    patches: number of patches that the image was split into, if known.
    special: number of tokens that are not patches, if known.
    grid: the patches' rows and columns, if known.
    aspect: height of the image divided by its width; if it is not 1, tokens need
      `grid`.
  """
  if not shape or 0 in shape:
    return None
  if len(shape) == 4 and shape[0] == batch:
    # Nearly all maps have the aspect ratio of the image.
    formed = {
      "NCHW": abs(shape[2] - shape[3] * aspect) < 1,
      "NHWC": abs(shape[1] - shape[2] * aspect) < 1,
    }
    other = "NHWC" if convolution == "NCHW" else "NCHW"
    return Layout(other if formed[other] and not formed[convolution] else convolution)
  if len(shape) == 3 and shape[0] == batch and shape[2] == 1 != shape[1] != patches:
    return Layout("NCL")  # pooled: one token
  if len(shape) == 3 and shape[0] == batch:
    axes, tokens = "NLC", shape[1]
  elif len(shape) == 3 and shape[1] == batch:
    axes, tokens = "LNC", shape[0]
  else:
    return Layout("NC") if len(shape) == 2 and shape[0] == batch else None
  if aspect == 1.0:
    return _guess_tokens(axes, tokens, patches, special)
  rest = tokens - math.prod(grid) if grid else -1
  fits = rest == special if special is not None else 0 <= rest <= _MAX_SPECIAL
  return Layout(axes, special=rest, grid=grid) if fits else None


def _guess_tokens(
  axes: str, tokens: int, patches: int | None, special: int | None
) -> Layout | None:
  if special is not None and tokens > special and _is_square(tokens - special):
    return Layout(axes, special=special)
  if patches is not None and _is_square(patches):
    rest = tokens - patches
    if 0 <= rest <= min(_MAX_SPECIAL, patches):
      return Layout(axes, special=rest)
  rest = tokens - math.isqrt(tokens) ** 2
  # A number of tokens far from a square is not a grid of patches.
  return Layout(axes, special=rest) if rest <= 8 and rest < tokens / 2 else None


def _is_square(number: int) -> bool:
  return math.isqrt(number) ** 2 == number


def to_nhwc(
  activations: Float[np.ndarray | jax.Array, "..."],
  layer: str,
  layout: Layout,
  *,
  batch: int,
) -> Float[np.ndarray | jax.Array, "{batch} height width units"]:
  """Converts a layer's activations to the shape (batch, height, width, units).

  Args:
    activations: the layer's activations.
    layer: the layer's name, for messages.
    layout: how to read it.
    batch: number of images in the batch.

  Raises:
    UserError: if the array does not fit the layout.
  """
  maps: np.ndarray | jax.Array | None = None
  if layout.axes in TOKENS and activations.ndim == 3:
    order = ["NLC".index(axis) for axis in layout.axes]
    tokens = activations.transpose(*(order.index(axis) for axis in range(3)))
    maps = _arrange_tokens(tokens, layout)
  elif layout.axes == "windows" and activations.ndim in (3, 4):
    maps = _join_windows(activations, layout, batch)
  elif layout.axes == "NCHW" and activations.ndim == 4:
    maps = activations.transpose(0, 2, 3, 1)
  elif layout.axes == "NHWC" and activations.ndim == 4:
    maps = activations
  elif layout.axes == "NC" and activations.ndim == 2:
    maps = activations[:, None, None, :]
  if maps is None or maps.shape[0] != batch:
    raise UserError(
      f"Layer {layer} returns an array of shape {tuple(activations.shape)} for a batch "
      f"of {batch}, which cannot be read as {layout}: set its layout with --layouts, "
      f"or choose another layer. A layout is {HELP}."
    )
  return maps


def _arrange_tokens(tokens: Any, layout: Layout) -> Any | None:
  batch, number, units = tokens.shape
  if layout.token is not None:
    token = layout.token
    return tokens[:, token, None, None, :] if token < number else None
  patches = number - layout.special - layout.after
  side = math.isqrt(max(patches, 0))
  height, width = layout.grid or (side, side)
  if patches <= 0 or height * width != patches:
    return None
  tokens = tokens[:, layout.special : layout.special + patches]
  if layout.unroll:
    return _undo_unroll(tokens, layout.unroll, height, width)
  return tokens.reshape(batch, height, width, units)


def _undo_unroll(tokens: Any, times: int, height: int, width: int) -> Any | None:
  """Inverts the order of `unroll` with `times` levels."""
  parts = 2**times if times < 16 else 0
  if not parts or height % parts or width % parts:
    return None
  batch, _, units = tokens.shape
  rest = (height // parts, width // parts)
  blocks = tokens.reshape(batch, *(2, 2) * times, *rest, units)
  # The row index is made of the index in the remaining grid, then the last block's, and
  # so on to the first block's.
  rows, columns = 1 + 2 * times, 2 + 2 * times
  order = (0, *range(rows, 0, -2), *range(columns, 0, -2), columns + 1)
  return blocks.transpose(order).reshape(batch, height, width, units)


def _join_windows(windows: Any, layout: Layout, batch: int) -> Any | None:
  """Joins windows into the map that they were split from, and rolls the map back."""
  units = windows.shape[-1]
  area = layout.side**2 if layout.side else 0
  own_axis = windows.ndim == 4 and windows.shape[2] == area
  one_axis = windows.ndim == 3 and area and windows.shape[1] % area == 0
  if own_axis or one_axis:
    # The windows of an image have an axis of their own, or are concatenated.
    windows = windows.reshape(-1, area, units)
  tokens = math.prod(windows.shape[1:-1])
  side = layout.side or math.isqrt(tokens)
  if tokens != side * side or windows.shape[0] % batch:
    return None
  number = windows.shape[0] // batch
  if layout.grid:
    rows, columns = (-(-length // side) for length in layout.grid)
  else:
    rows = columns = math.isqrt(number)
  if rows * columns != number:
    return None
  grid = windows.reshape(batch, rows, columns, side, side, units)
  maps = grid.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, rows * side, columns * side, units
  )
  if layout.shift:
    roll = np.roll if isinstance(maps, np.ndarray) else jax.numpy.roll
    maps = roll(maps, (layout.shift, layout.shift), (1, 2))
  height, width = layout.grid or maps.shape[1:3]
  return maps[:, :height, :width]
