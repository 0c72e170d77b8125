"""Layouts of layers inside the windows of Swin transformers."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from milan_jax._src.probe.layout import Layout, guess_layout


class Windows:
  """Determines the layouts of layers inside windows, while the module runs.

  A block is a submodule with a `shift_size` and a `window_size`, in positions; they may
  be set only when it runs.

  Args:
    module: the model.
    batch: number of images in the batch.
  """

  def __init__(self, module: nn.Module, batch: int):
    self._batch = batch
    self._blocks = {
      name: part
      for name, part in module.named_modules()
      if hasattr(part, "shift_size") and hasattr(part, "window_size")
    }
    self._maps: dict[str, tuple[int, int]] = {}

  def enter(self, name: str, arguments: Iterable[Any]) -> None:
    """Records the size of the map that a block is about to split."""
    if name in self._blocks:
      size = _map_size(arguments, self._batch)
      self._maps.pop(name, None)
      if size:
        self._maps[name] = size

  def layout(self, name: str, shape: tuple[int, ...]) -> Layout | None:
    """The layout of what a submodule just returned; None if it is not windows."""
    parts = name.split(".")
    above = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    block = next((one for one in above if one in self._blocks), None)
    if block is None or block not in self._maps or len(shape) not in (3, 4):
      return None
    part, (height, width) = self._blocks[block], self._maps[block]
    side, shift = _common_size(part.window_size), _common_size(part.shift_size)
    if not side or shift is None or math.prod(shape[1:-1]) != side * side:
      return None
    rows, columns = -(-height // side), -(-width // side)
    if shape[0] != self._batch * rows * columns or len(set(shape[1:-1])) != 1:
      return None
    padded = (height, width) != (rows * side, columns * side)
    if (rows, columns) == (1, 1) and not padded:
      # A single window of the map's size: only layers inside attention are shifted.
      inside = name.removeprefix(block).lstrip(".").startswith("att")
      if not shift or not inside:
        return None
    if padded and shift and type(part).__module__.startswith("timm."):
      return None  # timm pads after it shifts, which no layout expresses
    square = height == width and not padded
    return Layout(
      "windows", side=side, shift=shift, grid=None if square else (height, width)
    )


def _map_size(arguments: Iterable[Any], batch: int) -> tuple[int, int] | None:
  """Height and width of the map among a block's arguments."""
  arguments = list(arguments)
  tensors = [one for one in arguments if isinstance(one, torch.Tensor)]
  shape = tuple(tensors[0].shape) if tensors else ()
  if len(shape) == 4:
    layout = guess_layout(shape, batch, convolution="NHWC")
    if layout is None:
      return None
    return shape[layout.axes.index("H")], shape[layout.axes.index("W")]
  if len(shape) != 3 or shape[0] != batch:
    return None
  for pair in arguments:
    if isinstance(pair, tuple | list) and len(pair) == 2:
      height, width = pair
      if all(isinstance(one, int) for one in pair) and height * width == shape[1]:
        return height, width
  side = math.isqrt(shape[1])
  return (side, side) if side * side == shape[1] else None


def _common_size(size: Any) -> int | None:
  """The size if it is the same for both axes; None otherwise."""
  sizes = set(size) if isinstance(size, tuple | list) else {size}
  one = sizes.pop()
  return int(one) if not sizes and isinstance(one, int) else None
