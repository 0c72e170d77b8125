"""Determines in a trial run which layers of a model can be read, and how."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import (
  Layout,
  guess_layout,
  matching_layouts,
  parse_layout,
  to_nhwc,
)
from milan_jax._src.probe.white_square import Order
from milan_jax._src.records import LayerShape


def read_shapes(
  arrays: Mapping[str, tuple[int, ...]],
  batch: int,
  *,
  convolution: str,
  layouts: Mapping[str, Layout] | None = None,
  known: Mapping[str, Layout] | None = None,
  special: int | None = None,
  corrections: Mapping[str, Layout | None] | None = None,
  aspect: float = 1.0,
) -> tuple[LayerShape, ...]:
  """The layers that can be read, with their positions, units and layouts.

  A layout comes from the user, otherwise from the model's attributes, otherwise from a
  guess by shape. A layer without any layout is omitted.

  Args:
    arrays: shape of each layer's array in a trial run, in the model's order.
    batch: number of images in that run.
    convolution: `NCHW` or `NHWC`, the meaning of four axes in this kind of model.
    layouts: the user's layouts, by name or glob. A glob applies to the matching layers
      whose shape it fits.
    known: layouts from the model's own attributes, by name.
    special: number of tokens that are not patches, if known for the kind of model.
    corrections: layouts found by a trial, by name; None omits the layer. The user's
      layouts take precedence.
    aspect: height of the image divided by its width.

  Raises:
    UserError: if a layer does not fit the layout that the user set for it by name, or a
      glob of the user fits no layer.
  """
  shapes: list[LayerShape] = []
  grid: tuple[int, int] | None = None
  given = layouts or {}
  unused = set(given)
  for name, shape in arrays.items():
    guess = guess_layout(
      shape,
      batch,
      convolution=convolution,
      patches=grid[0] * grid[1] if grid else None,
      special=special,
      grid=grid,
      aspect=aspect,
    )
    if len(shape) == 4 and guess:
      grid = _image_grid(shape, guess, aspect) or grid
    candidates: list[tuple[str | None, Layout]] = [
      *matching_layouts(given, name).items()
    ]
    if corrections and name in corrections:
      others = [corrections[name]]
    else:
      others = [(known or {}).get(name), guess]
    candidates += [(None, layout) for layout in others if layout is not None]
    read = _read_layer(name, shape, candidates, batch)
    if read is not None:
      shapes.append(read[0])
      unused -= {read[1]}
  _check_used({item: given[item] for item in unused})
  return tuple(shapes)


def _check_used(unused: Mapping[str, Layout]) -> None:
  if unused:
    items = ", ".join(f"{item}={unused[item]}" for item in sorted(unused))
    raise UserError(
      f"--layouts: {items} fits no layer: --list_layers, without it, shows the "
      "shape of each layer's array."
    )


def _image_grid(
  shape: tuple[int, ...], layout: Layout, aspect: float
) -> tuple[int, int] | None:
  """Rows and columns of a layer of four axes, if it has the image's aspect ratio.

  The grid of a vision transformer's patches is that of its patch embedding, a
  convolution; outputs of attention heads do not have the image's aspect ratio.
  """
  rows, columns = (shape[layout.axes.index(axis)] for axis in "HW")
  return (rows, columns) if abs(rows - columns * aspect) < 1 else None


def _read_layer(
  name: str,
  shape: tuple[int, ...],
  candidates: Sequence[tuple[str | None, Layout]],
  batch: int,
) -> tuple[LayerShape, str | None] | None:
  """Reads a layer by the first layout that fits; also returns the user's name or glob.

  Raises:
    UserError: if the layout that the user set for the layer by name does not fit.
  """
  for item, layout in candidates:
    try:
      maps = to_nhwc(_empty(shape), name, layout, batch=batch)
    except UserError:
      if item == name:
        raise
      continue
    _, height, width, units = maps.shape
    return LayerShape(name, height, width, units, shape, str(layout)), item
  return None


class Readings:
  """The layouts of a model's layers, and corrections of them by a trial.

  Args:
    arrays: shape of each layer's array, in the model's order.
    batch: number of images in the batch.
    layouts: the user's layouts, by name or glob.
    options: other arguments of `read_shapes`.

  Attributes:
    shapes: shapes of the layers that can be read.
    layouts: the layout of each of them.
    orders: the orders that white squares showed in some layers, from `layout_check.py`.
    corrected: the previous layouts of layers whose layout was changed, by name.
  """

  def __init__(
    self,
    arrays: Mapping[str, tuple[int, ...]],
    batch: int,
    *,
    layouts: Mapping[str, Layout] | None = None,
    **options: Any,
  ):
    self.orders: dict[str, Order] = {}
    self.corrected: dict[str, str] = {}
    self._corrections: dict[str, Layout | None] = {}
    self._given = layouts or {}
    self._read = functools.partial(
      read_shapes, arrays, batch, layouts=layouts, **options
    )
    self._set()

  def _set(self) -> None:
    self.shapes = self._read(corrections=self._corrections)
    self.layouts = layouts_of(self.shapes)

  def is_set_by_user(self, name: str) -> bool:
    """Whether the user set the layer's layout."""
    layouts = matching_layouts(self._given, name).values()
    return self.layouts.get(name) in layouts

  def notes(self) -> dict[str, str]:
    """Remarks on layers whose layout white squares corrected or rejected."""
    notes = {
      name: f"layout changed from {before}: white squares now appear in place"
      for name, before in self.corrected.items()
    }
    for name, order in self.orders.items():
      if order is Order.ELSEWHERE:
        notes[name] = "its positions are not in the picture's order: set its layout"
    return notes

  def correct(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes layouts, except those set by the user; None drops a layer."""
    self._corrections |= corrections
    self._set()


@runtime_checkable
class Readable(Protocol):
  """A probe whose layouts can be changed."""

  @property
  def readings(self) -> Readings:
    """The layouts of its layers."""

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes the layouts of layers, as `Readings.correct` does."""


def unread(name: str, shape: tuple[int, ...]) -> str:
  """Why a layer is not listed although the model returns an array for it."""
  return (
    f"Layer {name} returns an array of shape {shape}; which axes are positions and "
    f"units is unknown: set --layouts, such as {name}=NLC."
  )


def layouts_of(shapes: tuple[LayerShape, ...]) -> dict[str, Layout]:
  """Each layer's layout, as determined by `read_shapes`."""
  return {shape.name: parse_layout(shape.layout) for shape in shapes}


def _empty(shape: tuple[int, ...]) -> np.ndarray:
  """An array of a shape that takes no memory."""
  return np.broadcast_to(np.float32(0), shape)
