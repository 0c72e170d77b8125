"""The views that units show: whole photographs and crops of them."""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from milan_jax._src.images.source import ImageSource

SMALLEST_CROP = 0.45


@dataclasses.dataclass(frozen=True, slots=True)
class View:
  """A photograph or a crop of it.

  Attributes:
    photograph: its index in the source.
    left: the crop's left edge, as a fraction of the photograph's side.
    top: the crop's top edge, as a fraction of the photograph's side.
    side: the crop's side, as a fraction of the photograph's side.
    mirrored: whether left and right are swapped, after cropping.
  """

  photograph: int
  left: float = 0.0
  top: float = 0.0
  side: float = 1.0
  mirrored: bool = False


def views_of(photograph: int, number: int, seed: int) -> list[View]:
  """Returns `number` views: the whole photograph, then random crops of it."""
  rng = np.random.default_rng([seed, photograph])
  views = [View(photograph)]
  while len(views) < number:
    side = rng.uniform(SMALLEST_CROP, 1)
    left, top = rng.uniform(0, 1 - side, 2)
    views.append(View(photograph, left, top, side, bool(rng.integers(2))))
  return views


def seen(
  image: UInt8[np.ndarray, "side side 3"], view: View, size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
  """Returns the pixels of a view, resized to `size` with antialiasing."""
  side = image.shape[0]
  left, top, width = (part * side for part in (view.left, view.top, view.side))
  box = (left, top, left + width, top + width)
  crop = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box)
  pixels = np.asarray(crop)
  return np.ascontiguousarray(pixels[:, ::-1] if view.mirrored else pixels)


def view_name(photographs: ImageSource, view: View) -> str:
  """Returns a view's name in a store: the photograph's name, plus the crop if any."""
  name = photographs.name(view.photograph)
  if view == View(view.photograph):
    return name
  crop = f"{view.left:.3f},{view.top:.3f},{view.side:.3f}"
  return f"{name}@{crop}" + (",mirrored" if view.mirrored else "")
