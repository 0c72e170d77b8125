"""Pictures with named regions: what units of named things are made of.

A scene's picture is 224 x 224, uint8 RGB; its regions are maps of 56 x 56 cells, 0 to
1, which say how much of a cell the thing fills, and in a soft region also how far from
the thing's border it lies, as activations fade towards borders.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from milan_jax._src.lab.corpus import filters

SIDE = 224
GRID = 56


@dataclasses.dataclass(frozen=True, slots=True)
class Tags:
  """What is known of a region.

  Attributes:
    what: the noun for the thing, such as "dog", or for what fills the region, "grass".
    part: which part of the thing it is; empty for the whole.
    colors: its one or two main colors.
    look: an adjective that plainly fits; empty if none does.
  """

  what: str
  part: str = ""
  colors: tuple[str, ...] = ()
  look: str = ""


class Rendered(NamedTuple):
  """A scene's picture, and a map for each of its regions."""

  image: UInt8[np.ndarray, "224 224 3"]
  regions: Float[np.ndarray, "regions 56 56"]


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
  """A picture that can be rendered, with what is known of its regions.

  Attributes:
    key: names the picture in the store; unique.
    split: the split of all its sources.
    group: the source that it mainly shows; two scenes of a group look alike.
    tags: of each region.
    render: makes the picture; the same each time.
  """

  key: str
  split: str
  group: str
  tags: tuple[Tags, ...]
  render: Callable[[], Rendered]


def soft_shape(
  box: tuple[float, float, float, float], *, round_: bool
) -> Float[np.ndarray, "56 56"]:
  """The map of an ellipse or a box: 1 in its middle, one half at its border, then 0.

  Args:
    box: left, top, right and bottom, in pixels of the scene; may reach beyond it.
    round_: an ellipse instead of a box.
  """
  fine = 2 * GRID
  centers = (np.arange(fine) + 0.5) * SIDE / fine
  left, top, right, bottom = box
  across = np.abs(2 * (centers - left) / max(right - left, 1e-6) - 1)[None]
  down = np.abs(2 * (centers - top) / max(bottom - top, 1e-6) - 1)[:, None]
  away = np.hypot(across, down) if round_ else np.maximum(across, down)
  values = np.where(away <= 1, 1 - 0.5 * away**2, 0).astype(np.float32)
  return filters.block_means(values, GRID)
