"""How a network wants its images."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides


@dataclasses.dataclass(frozen=True, slots=True)
class Preprocessing:
  """How a network wants its images: resized, cropped at the center, normalized.

  Attributes:
    resize: shorter side after resizing, in pixels, or the least height and width; None
      to leave the size alone.
    crop: size of what is cut out of the center, in pixels; a number is a square's.
    interpolation: how to resize.
    mean: subtracted per channel, red first, in units of 0..255.
    std: divided by per channel, in units of 0..255.
    squash: resize both sides to `resize`, whatever their proportions, rather than the
      shorter one.

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

  @classmethod
  def of(
    cls,
    *,
    size: Size = 224,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
  ) -> "Preprocessing":
    """Preprocessing of images that are resized and cropped to a size.

    Args:
      size: of the network's images, in pixels: a square's side, or height and width.
      mean: subtracted from each channel of an image in [0, 1].
      std: what each channel is then divided by.

    Raises:
      UserError: a value is out of its range.
    """
    if not all(0 <= value <= 1 for value in mean):
      raise UserError(f"mean: expected numbers from 0 to 1; found {list(mean)}.")
    if not all(0 < value <= 1 for value in std):
      raise UserError(f"std: expected numbers above 0 and up to 1; found {list(std)}.")
    if len(mean) != len(std):
      raise UserError(
        f"mean and std: expected as many of each; found {len(mean)} and {len(std)}."
      )
    if min(sides(size)) < 1:
      raise UserError(f"size: expected 1 pixel or more; found {size}.")
    return cls(
      resize=size,
      crop=size,
      interpolation="bilinear",
      mean=tuple(255 * value for value in mean),
      std=tuple(255 * value for value in std),
    )

  @property
  def channels(self) -> int:
    """Channels of an image: 3 of colors, 1 of gray."""
    return len(self.mean)

  def normalize(
    self, images: UInt8[Array | np.ndarray, "batch height width channels"]
  ) -> Float[Array, "batch height width channels"]:
    """Images as the network wants their values; their size is not changed."""
    mean = jnp.asarray(self.mean)[None, None, None]
    std = jnp.asarray(self.std)[None, None, None]
    return (jnp.asarray(images, jnp.float32) - mean) / std


TORCHVISION = Preprocessing(
  resize=256,
  crop=224,
  interpolation="bilinear",
  mean=(123.675, 116.28, 103.53),
  std=(58.395, 57.12, 57.375),
)


def usual_colors(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and deviation of each channel, of 0 to 255: ImageNet's, or their means."""
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
