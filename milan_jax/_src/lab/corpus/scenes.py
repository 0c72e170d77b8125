"""Pictures with named regions, from which units of named things are made.

A scene's picture is 224 x 224, uint8 RGB. Its regions are maps of 56 x 56 cells, 0 to
1: the fraction of each cell that the thing fills. In a soft region the value also
decreases toward the thing's border, like activations.
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
  """Labels of a region.

  Attributes:
    what: the noun for the thing, such as "dog", or for the material, such as "grass".
    part: the part of the thing; empty for the whole.
    colors: its one or two main colors.
    look: an adjective that clearly fits; empty if there is none.
  """

  what: str
  part: str = ""
  colors: tuple[str, ...] = ()
  look: str = ""


class Rendered(NamedTuple):
  """A scene's picture and the map of each of its regions."""

  image: UInt8[np.ndarray, "224 224 3"]
  regions: Float[np.ndarray, "regions 56 56"]


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
  """A picture that can be rendered, with the labels of its regions.

  Attributes:
    key: unique name of the picture in the store.
    split: the split of all its sources.
    group: the source that it mainly shows; scenes of one group look alike.
    tags: the labels of each region.
    render: renders the scene; deterministic.
  """

  key: str
  split: str
  group: str
  tags: tuple[Tags, ...]
  render: Callable[[], Rendered]


def soft_shape(
  box: tuple[float, float, float, float], *, round_: bool
) -> Float[np.ndarray, "56 56"]:
  """Returns the map of a box or ellipse: 1 at its center, .5 at its border, 0 outside.

  Args:
    box: left, top, right and bottom, in pixels of the scene; may extend beyond it.
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
