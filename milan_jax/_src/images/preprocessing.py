"""How a network's input images are prepared."""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import INTERPOLATIONS
from milan_jax._src.images.sizes import Size, sides, size_text
from milan_jax._src.notebook import Shown


@dataclasses.dataclass(frozen=True, slots=True)
class Preprocessing(Shown):
  """How a network's input images are resized, center-cropped and normalized.

  Attributes:
    resize: shorter side after resizing, in pixels, or the minimum height and width;
      None to not resize.
    crop: size of the center crop, in pixels; a number is the side of a square.
    interpolation: filter used to resize.
    mean: subtracted from each channel, red first, on the scale of 0 to 255.
    std: each channel is then divided by it, on the scale of 0 to 255.
    squash: resize to `resize` exactly, ignoring the aspect ratio.

  Raises:
    UserError: if a value is out of range, or mean and std are on the scale of 0 to 1.

  Example:
    >>> milan_jax.Preprocessing.of(size=32).channels
    3
  """

  resize: Size | None
  crop: Size
  interpolation: Literal["bilinear", "bicubic"]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  squash: bool = False

  def __post_init__(self) -> None:
    for name in ("mean", "std"):
      object.__setattr__(self, name, tuple(_numbers(name, getattr(self, name))))
    for name in ("crop", "resize"):
      if getattr(self, name) is not None or name == "crop":
        object.__setattr__(self, name, _whole(name, getattr(self, name)))
    if self.interpolation not in INTERPOLATIONS:
      raise UserError(
        f"interpolation: expected one of {', '.join(INTERPOLATIONS)}; found "
        f"{self.interpolation!r}."
      )
    if not _fits(sides(self.crop), sides(self.resize or self.crop)):
      raise UserError(
        f"crop: expected at most {size_text(self.resize or self.crop)} pixels, the "
        f"size after resizing; found {size_text(self.crop)}."
      )
    if len(self.mean) != len(self.std):
      raise UserError(
        f"mean and std: expected the same length; found {len(self.mean)} and "
        f"{len(self.std)}."
      )
    if not all(map(math.isfinite, self.mean)):
      raise UserError(f"mean: expected finite numbers; found {self.mean}.")
    if not all(0 < value < math.inf for value in self.std):
      raise UserError(f"std: expected numbers above 0; found {self.std}.")
    if all(0 < value <= 1 for value in self.mean) and max(self.std) <= 1:
      raise UserError(
        "mean and std: expected numbers on the scale of 0 to 255; found "
        f"{self.mean} and {self.std}: milan_jax.Preprocessing.of takes them on the "
        "scale of 0 to 1."
      )

  @classmethod
  def of(
    cls,
    *,
    size: Size = 224,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
  ) -> "Preprocessing":
    """Preprocessing that resizes and crops images to a size, and normalizes them.

    Args:
      size: size of the network's images, in pixels: a square's side, or height and
        width.
      mean: subtracted from each channel of an image in [0, 1].
      std: each channel is then divided by it.

    Raises:
      UserError: if a value is out of range.
    """
    means, stds = _numbers("mean", mean), _numbers("std", std)
    if not all(0 <= value <= 1 for value in means):
      raise UserError(f"mean: expected numbers from 0 to 1; found {means}.")
    if not all(0 < value <= 1 for value in stds):
      raise UserError(f"std: expected numbers above 0 and up to 1; found {stds}.")
    if len(means) != len(stds):
      raise UserError(
        f"mean and std: expected the same length; found {len(means)} and {len(stds)}."
      )
    whole = _whole("size", size)
    return cls(
      resize=whole,
      crop=whole,
      interpolation="bilinear",
      mean=tuple(255 * value for value in means),
      std=tuple(255 * value for value in stds),
    )

  @property
  def channels(self) -> int:
    """Channels of an image: 3 for RGB, 1 for gray."""
    return len(self.mean)

  def normalize(
    self, images: UInt8[Array | np.ndarray, "batch height width channels"]
  ) -> Float[Array, "batch height width channels"]:
    """Normalizes images by `mean` and `std`; does not change their size."""
    mean = jnp.asarray(self.mean)[None, None, None]
    std = jnp.asarray(self.std)[None, None, None]
    return (jnp.asarray(images, jnp.float32) - mean) / std


def _numbers(name: str, values: object) -> list[float]:
  """One number per channel, as Python's own.

  Raises:
    UserError: `values` are not numbers, or none.
  """
  given = values.tolist() if hasattr(values, "tolist") else values
  if isinstance(given, Iterable) and not isinstance(given, str):
    found = list(given)
    if found and all(isinstance(value, numbers.Real) for value in found):
      return [float(value) for value in found]
  raise UserError(
    f"{name}: expected a list of numbers, one per channel of an image; found "
    f"{values!r}."
  )


def _fits(crop: tuple[int, int], resized: tuple[int, int]) -> bool:
  return crop[0] <= resized[0] and crop[1] <= resized[1]


def _whole(name: str, size: Any) -> Size:
  """A size of whole numbers, as Python's own.

  Raises:
    UserError: it is another one.
  """
  found = list(size) if isinstance(size, tuple | list) else [size, size]
  if len(found) != 2 or not all(isinstance(side, numbers.Integral) for side in found):
    raise UserError(
      f"{name}: expected a whole number of pixels, or height and width; found {size!r}."
    )
  if min(found) < 1:
    raise UserError(f"{name}: expected 1 pixel or more; found {size}.")
  height, width = map(int, found)
  return (height, width) if isinstance(size, tuple | list) else height


TORCHVISION = Preprocessing(
  resize=256,
  crop=224,
  interpolation="bilinear",
  mean=(123.675, 116.28, 103.53),
  std=(58.395, 57.12, 57.375),
)


def default_mean_and_std(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """ImageNet's mean and std per channel, 0 to 255; their averages if not RGB."""
  if channels == 3:
    return TORCHVISION.mean, TORCHVISION.std
  mean, std = (round(sum(one) / 3, 3) for one in (TORCHVISION.mean, TORCHVISION.std))
  return (mean,) * channels, (std,) * channels


EFFICIENTNET_LITE = Preprocessing(
  resize=256,
  crop=224,
  interpolation="bicubic",
  mean=(127.0, 127.0, 127.0),
  std=(128.0, 128.0, 128.0),
)
