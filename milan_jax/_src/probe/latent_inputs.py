"""Inputs and output images of generators, in any framework.

An input is a record of a `latent` and, for a class-conditional generator, a `class`.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, size_from_sides


def trial_inputs(
  latent_shape: tuple[int, ...], *, classes: bool, batch: int
) -> np.ndarray:
  """Random records of class 0, the same on every call.

  Args:
    latent_shape: shape of one latent.
    classes: whether the records have a class.
    batch: number of records.
  """
  latents = np.random.default_rng(0).standard_normal((batch, *latent_shape))
  fields: list[Any] = [("latent", np.float32, latent_shape)]
  inputs = np.zeros(batch, [*fields, ("class", np.int64)] if classes else fields)
  inputs["latent"] = latents
  return inputs


def generator_arguments(
  inputs: np.ndarray, latent_shape: tuple[int, ...], *, classes: bool
) -> list[np.ndarray]:
  """The arguments of a generator: float32 latents, and int64 classes if it takes any.

  Args:
    inputs: records.
    latent_shape: shape of one latent, as the generator takes it.
    classes: whether the generator takes classes.

  Raises:
    UserError: if the records have other fields or shapes.
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
  # Copies, because a generator may change its arguments.
  return [np.array(inputs[name], kinds[name], order="C") for name in fields]


def generated_size(shape: tuple[int, ...], batch: int) -> Size:
  """Size of the images that a generator makes, in pixels.

  Args:
    shape: shape of the generator's result, channels last.
    batch: the expected number of images.

  Raises:
    UserError: if this is not a shape of RGB or gray images.
  """
  if len(shape) != 4 or shape[0] != batch or shape[3] not in (1, 3):
    raise UserError(
      f"The generator returns an array of shape {shape}, channels last, for {batch} "
      "latents: expected an RGB or gray image for each."
    )
  return size_from_sides(*shape[1:3])


def to_rgb_pixels(
  images: np.ndarray, image_range: tuple[float, float]
) -> UInt8[np.ndarray, "batch height width 3"]:
  """Converts images to RGB, 0 to 255.

  Args:
    images: `(batch, height, width, 3)`, or 1 channel if gray; values outside the range
      are clipped.
    image_range: the values of black and white.
  """
  black, white = image_range
  scaled = (np.asarray(images, np.float32) - black) * (255 / (white - black))
  # NaN becomes black.
  pixels = np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8)
  return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
