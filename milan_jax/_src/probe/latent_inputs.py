"""What goes into a generator and what comes out, whatever runs it.

An input is a record of a `latent` and, for a generator of classes, a `class`.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, size_from_sides


def trial_inputs(
  latent_shape: tuple[int, ...], *, classes: bool, batch: int
) -> np.ndarray:
  """Random records, always the same, of class 0.

  Args:
    latent_shape: of one latent.
    classes: whether they have a class.
    batch: how many.
  """
  latents = np.random.default_rng(0).standard_normal((batch, *latent_shape))
  fields: list[Any] = [("latent", np.float32, latent_shape)]
  inputs = np.zeros(batch, [*fields, ("class", np.int64)] if classes else fields)
  inputs["latent"] = latents
  return inputs


def arguments_of(
  inputs: np.ndarray, latent_shape: tuple[int, ...], *, classes: bool
) -> list[np.ndarray]:
  """The arguments of a generator: latents of float32, and classes of int64 if any.

  Args:
    inputs: records.
    latent_shape: of one latent, as the generator takes it.
    classes: whether the generator takes classes.

  Raises:
    UserError: if the records are not of this kind.
  """
  names = inputs.dtype.names or ()
  shape = inputs.dtype["latent"].shape if "latent" in names else None
  if shape != latent_shape or classes != ("class" in names):
    found = f"records of {', '.join(names)}" if names else f"an array of {inputs.dtype}"
    of = f" of shape {shape}" if shape is not None else ""
    raise UserError(
      f"The generator takes latents of shape {latent_shape} "
      f"{'and' if classes else 'without'} classes: found {found}{of}."
    )
  fields = ("latent", "class") if classes else ("latent",)
  kinds = {"latent": np.float32, "class": np.int64}
  return [np.ascontiguousarray(inputs[name], kinds[name]) for name in fields]


def image_side(shape: tuple[int, ...], batch: int) -> Size:
  """Size of the images that a generator makes, in pixels.

  Args:
    shape: of what it makes, colors last.
    batch: how many it should have made.

  Raises:
    UserError: if these are not images in color or gray.
  """
  if len(shape) != 4 or shape[0] != batch or shape[3] not in (1, 3):
    raise UserError(
      f"The generator makes an array of shape {shape}, colors last, of {batch} "
      "latents: expected an image of three colors, or of gray, of each."
    )
  return size_from_sides(*shape[1:3])


def to_colors(
  images: np.ndarray, image_range: tuple[float, float]
) -> UInt8[np.ndarray, "batch height width 3"]:
  """Images as they are stored, 0 to 255.

  Args:
    images: `(batch, height, width, 3)`, or 1 of gray, of fractions; what is outside the
      range is cut.
    image_range: the values of black and of white.
  """
  black, white = image_range
  scaled = (np.asarray(images, np.float32) - black) * (255 / (white - black))
  # Of what is not a number, black.
  pixels = np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8)
  return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
