"""Which layers of a model can be read, and how: found out by one trial run."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import (
  Layout,
  guess_layout,
  layouts_named,
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

  A layout comes from the user, else from what the model's kind tells, else from a guess
  that the shape allows. A layer with none of them is left out.

  Args:
    arrays: shape of each layer's array in a trial run, in the model's order.
    batch: images of that run.
    convolution: `NCHW` or `NHWC`, the meaning of four axes in this kind of model.
    layouts: by name or glob, from the user. A glob is for the layers it suits.
    known: by name, from the model's own attributes.
    special: tokens that are not patches, where the model's kind tells.
    corrections: by name, what a trial found; None leaves the layer out. What the user
      gave comes first all the same.
    aspect: height of the image over its width.

  Raises:
    UserError: if a layer does not fit the layout that the user gave to it by name, or
      a glob of the user's fits none.
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
    likely: list[tuple[str | None, Layout]] = [*layouts_named(given, name).items()]
    if corrections and name in corrections:
      others = [corrections[name]]
    else:
      others = [(known or {}).get(name), guess]
    likely += [(None, layout) for layout in others if layout is not None]
    read = _first_that_fits(name, shape, likely, batch)
    if read is not None:
      shapes.append(read[0])
      unused -= {read[1]}
  _check_used({item: given[item] for item in unused})
  return tuple(shapes)


def _check_used(unused: Mapping[str, Layout]) -> None:
  if unused:
    items = ", ".join(f"{item}={unused[item]}" for item in sorted(unused))
    raise UserError(
      f"--layouts: {items} fits no layer: --list_layers, without it, prints what each "
      "layer gives."
    )


def _image_grid(
  shape: tuple[int, ...], layout: Layout, aspect: float
) -> tuple[int, int] | None:
  """Rows and columns of a layer of four axes, if it has the form of the image.

  A vision transformer's patches are those of the convolution that cuts them; the output
  of attention heads does not have the form of the image.
  """
  rows, columns = (shape[layout.axes.index(axis)] for axis in "HW")
  return (rows, columns) if abs(rows - columns * aspect) < 1 else None


def _first_that_fits(
  name: str,
  shape: tuple[int, ...],
  likely: Sequence[tuple[str | None, Layout]],
  batch: int,
) -> tuple[LayerShape, str | None] | None:
  """Reads a layer by the first layout that fits; also returns the user's name or glob.

  Raises:
    UserError: if the layout that the user gave to the layer by name does not fit.
  """
  for item, layout in likely:
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
  """How the layers of a model are read, and what a trial corrects in that.

  Args:
    arrays: shape of each layer's array, in the model's order.
    batch: images that went in.
    layouts: by name or glob, from the user.
    options: more of `read_shapes`'s.

  Attributes:
    shapes: of the layers that can be read.
    layouts: how each of them is read.
    orders: what white squares showed of some layers, as `layout_check.py` returns it.
    corrected: the layers that are read in another way than first, and how they were.
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

  def is_given(self, name: str) -> bool:
    """Whether the user set how a layer is read."""
    layouts = layouts_named(self._given, name).values()
    return self.layouts.get(name) in layouts

  def notes(self) -> dict[str, str]:
    """What white squares said of layers, where it is worth a word."""
    notes = {
      name: f"not as {before}: white squares are seen where they are so"
      for name, before in self.corrected.items()
    }
    for name, order in self.orders.items():
      if order is Order.ELSEWHERE:
        notes[name] = "its positions are not in the picture's order: set --layouts"
    return notes

  def correct(self, corrections: Mapping[str, Layout | None]) -> None:
    """Reads layers in other ways, but for those that the user set; None drops them."""
    self._corrections |= corrections
    self._set()


@runtime_checkable
class Readable(Protocol):
  """A probe whose layers can be read in other ways."""

  @property
  def readings(self) -> Readings:
    """How its layers are read."""

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Reads layers in other ways, as `Readings.correct` does."""


def layouts_of(shapes: tuple[LayerShape, ...]) -> dict[str, Layout]:
  """Each layer's layout, as `read_shapes` settled it."""
  return {shape.name: parse_layout(shape.layout) for shape in shapes}


def _empty(shape: tuple[int, ...]) -> np.ndarray:
  """An array of a shape, of no memory."""
  return np.broadcast_to(np.float32(0), shape)
