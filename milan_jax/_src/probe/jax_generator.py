"""JAX functions that generate images from latents, such as GANs."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.probe.attention_parts import without_attention
from milan_jax._src.probe.jax_model import named_arrays, one_line_error
from milan_jax._src.probe.latent_inputs import (
  generated_size,
  generator_arguments,
  to_rgb_pixels,
  trial_inputs,
)
from milan_jax._src.probe.layout import Layout, to_nhwc
from milan_jax._src.probe.protocol import TRACED_BATCH, OneDevice
from milan_jax._src.probe.readings import Readings
from milan_jax._src.probe.returned import named_activations
from milan_jax._src.records import LayerShape
from milan_jax._src.runs.precision import full_float32


class JaxGenerator(OneDevice):
  """A function `latents[, classes] -> (images, {layer: activations})`.

  Each batch size is compiled once, and only the requested layers are computed.

  Args:
    function: takes latents `Float[batch *latent_shape]`, and classes `Int[batch]` if it
      is class-conditional; returns images `(batch, size, size, 3)` and activations,
      both channels last. In `jax.tree_util.Partial(function, params)` the parameters
      are arguments of the compiled program instead of constants.
    latent_shape: shape of one latent.
    classes: whether it is class-conditional.
    image_range: the values of black and white in its images.
    layouts: layouts of layers by name or glob, which override the guess.

  Raises:
    UserError: if it does not run, or does not return RGB or gray images.
  """

  # Each batch size is compiled, which takes a while.
  compiled = True

  def __init__(
    self,
    function: Callable[..., tuple[Any, Mapping[str, Any]]],
    latent_shape: tuple[int, ...],
    *,
    classes: bool = False,
    image_range: tuple[float, float] = (-1.0, 1.0),
    layouts: Mapping[str, Layout] | None = None,
  ):
    is_partial = isinstance(function, jax.tree_util.Partial)
    self._function = function if is_partial else jax.tree_util.Partial(function)
    self._latent_shape = tuple(latent_shape)
    self._classes = classes
    self._image_range = image_range
    images, arrays = self._trial()
    self.image_size = generated_size(images, TRACED_BATCH)
    self.readings = Readings(
      without_attention(arrays, TRACED_BATCH, given=layouts or {}),
      TRACED_BATCH,
      convolution="NHWC",
      layouts=layouts,
    )

  def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters of a function that is a pytree, by name."""
    return named_arrays(self._function)

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer that can be read, in the function's order."""
    return self.readings.shapes

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes the layouts of layers."""
    self.readings.correct(corrections)

  def activations(
    self, inputs: np.ndarray, layers: tuple[str, ...]
  ) -> dict[str, np.ndarray]:
    """Activations of some layers, as float32.

    Args:
      inputs: records of a `latent`, and of a `class` if the function is
        class-conditional.
      layers: names among those of `layers()`.

    Raises:
      UserError: if a name is not a layer, or the records have other fields or shapes.
    """
    layouts = self.readings.layouts
    for name in layers:
      if name not in layouts:
        raise UserError(
          f"The generator has no layer {name!r} that can be read as positions and "
          "units: --list_layers shows all that can be. Choose another, or set "
          "--layouts."
        )

    found = _activations(self._function, self._arguments(inputs), layers)
    batch = len(inputs)
    return {
      name: np.asarray(to_nhwc(found[name], name, layouts[name], batch=batch))
      for name in layers
    }

  def images(self, inputs: np.ndarray) -> UInt8[np.ndarray, "batch size size 3"]:
    """The images that the function generates from records, RGB, 0 to 255."""
    images = np.asarray(_images(self._function, self._arguments(inputs)))
    return to_rgb_pixels(images, self._image_range)

  def _arguments(self, inputs: np.ndarray) -> list[np.ndarray]:
    latents, *classes = generator_arguments(
      inputs, self._latent_shape, classes=self._classes
    )
    return [latents, *(one.astype(np.int32) for one in classes)]  # JAX's own integers

  def _trial(self) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    """Shapes of the images, and of the layers in the function's order."""
    inputs = trial_inputs(self._latent_shape, classes=self._classes, batch=TRACED_BATCH)
    order: list[str] = []

    def run(arguments: list[Array]) -> tuple[Array, dict[str, Array]]:
      images, found = _run_generator(self._function, arguments)
      order.extend(found)
      return images, found

    try:
      images, found = jax.eval_shape(run, self._arguments(inputs))
    except UserError:
      raise
    except Exception as error:  # any error of the user's function
      raise UserError(
        f"The generator does not run on latents of shape {self._latent_shape} "
        f"({one_line_error(error)}): expected a function of latents"
        f"{' and classes' if self._classes else ''} that JAX can trace, which returns "
        "images and a dictionary of activations."
      ) from error
    return images.shape, {name: found[name].shape for name in order}


def _run_generator(
  function: Callable[..., Any], arguments: list[Array]
) -> tuple[Array, dict[str, Array]]:
  """The images that a function returns, and its activations by name.

  Raises:
    UserError: if it does not return this pair.
  """
  made = function(*arguments)
  if not isinstance(made, tuple | list) or len(made) != 2:
    raise UserError(
      f"The generator returns a {type(made).__name__}: expected a pair of images and "
      "activations by name, as in\nreturn images, {'maps': maps}"
    )
  images, found = made
  empty = isinstance(found, Mapping) and not found
  return images, {} if empty else named_activations(found)


@functools.partial(jax.jit, static_argnames="layers")
@full_float32
def _activations(
  function: Callable[..., Any], arguments: list[Array], layers: tuple[str, ...]
) -> dict[str, Array]:
  _, found = _run_generator(function, arguments)
  return {name: found[name].astype(jnp.float32) for name in layers}


@jax.jit
@full_float32
def _images(function: Callable[..., Any], arguments: list[Array]) -> Array:
  images: Array = function(*arguments)[0]
  return images.astype(jnp.float32)
