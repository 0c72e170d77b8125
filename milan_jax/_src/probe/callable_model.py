"""Any function of images that returns its activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import Size, sides
from milan_jax._src.probe.jax_model import (
  JaxProbe,
  as_nhwc,
  named_arrays,
  one_line_error,
)
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import (
  TRACED_BATCH,
  Activations,
  black_images,
  check_images,
)
from milan_jax._src.probe.returned import bad_result_message, named_activations
from milan_jax._src.probe.traced_twice import traces_differ
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.runs.precision import full_float32


class CallableProbe(JaxProbe):
  """A function `images -> {layer: activations}`.

  Its results are named by `milan_jax._src.probe.returned.named_activations`.

  Args:
    function: takes normalized images `Float[batch height width 3]`. Arrays that it
      closes over become constants of the compiled program.
    preprocessing: how its input images are prepared.
    compiled: whether JAX traces and compiles it; then only the chosen layers are
      computed. Otherwise it is called with NumPy arrays, or with JAX arrays if it does
      not run on NumPy arrays, and computes all layers on every call. None compiles it
      if it can be traced.
    image_size: size of the images, in pixels; None takes `preprocessing.crop`.
    layouts: layouts of layers by name or glob, which override the guess.
    devices: devices to run on, if compiled; None takes all of this process.
    special: number of leading tokens that are not patches, if known.
    convolution: `NHWC` or `NCHW`, the default order of four axes.

  Raises:
    UserError: if devices are given and it is not compiled; if `compiled` is None and it
      does not run or returns no activations.
  """

  def __init__(
    self,
    function: Callable[[Any], Any],
    preprocessing: Preprocessing,
    *,
    compiled: bool | None = None,
    image_size: Size | None = None,
    layouts: Mapping[str, Layout] | None = None,
    devices: Sequence[jax.Device] | None = None,
    special: int | None = None,
    convolution: str = "NHWC",
  ):
    def run(
      _: Any, images: Array, layers: tuple[str, ...] | None
    ) -> Mapping[str, Array]:
      found = named_activations(function(images))
      return {name: found[name] for name in (found if layers is None else layers)}

    super().__init__(
      run,
      (),
      preprocessing,
      image_size=image_size,
      layouts=layouts,
      devices=devices,
      special=special,
      convolution=convolution,
    )
    self._function = function
    self._trial_shapes: Mapping[str, tuple[int, ...]] | None = None
    self._to_input: Callable[[Any], Any] = np.array
    # Why tracing failed, where `compiled` is None and it is not compiled.
    self.trace_failure = ""
    self.compiled = compiled if compiled is not None else self._traces()
    if not self.compiled:
      if devices is not None:
        raise UserError(
          "A function that JAX does not compile chooses its own devices: omit devices."
        )
      self._mesh = make_mesh(jax.local_devices()[:1])
      self.num_devices = 1

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> Activations:
    """Activations of some layers, in the model's own units, as 32-bit floats or wider.

    Raises:
      UserError: if the images are not uint8 of its channels; if a layer is unknown; if
        the batch cannot be split evenly over the devices; if the function is not
        compiled and fails, or returns other layers or shapes for these images.
    """
    if self.compiled:
      return super().activations(images, layers)
    check_images(images, self.channels)
    self.check_request(len(images), layers)
    try:
      found = self._arrays(images)
    except UserError:
      raise
    except Exception as error:  # any error of the user's function
      raise UserError(
        f"The function fails on a batch of {len(images)} images "
        f"({one_line_error(error)}), although it ran on black images."
      ) from error
    absent = [name for name in layers if name not in found]
    if absent:
      raise UserError(
        f"The function returned no {absent[0]!r} for these images, but did for black "
        "images: return the same names for all images."
      )
    return {
      name: as_nhwc(found[name], name, self.readings.layouts[name], len(images))
      for name in layers
    }

  def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a function that is a pytree, such as a `jax.tree_util.Partial`."""
    return named_arrays(self._function)

  def array_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Shape of each layer's array for a batch; runs the function if not compiled."""
    if self._trial_shapes is not None and batch == TRACED_BATCH:
      return self._trial_shapes
    if self.compiled:
      return super().array_shapes(batch)
    return self._run_shapes(batch)

  def unreadable_error(self, fault: str) -> UserError:
    """The error if no layer can be read; `fault` states what the function returns."""
    return UserError(
      bad_result_message(f"{fault}, which cannot be read as positions and units")
    )

  def _traces(self) -> bool:
    """Whether JAX can trace the function.

    Raises:
      UserError: if it does not run uncompiled either, or returns no activations.
    """
    try:
      self._trial_shapes = self.traced_shapes(TRACED_BATCH)
      shape = (TRACED_BATCH, *sides(self.image_size), self.channels)
      images = jax.ShapeDtypeStruct(shape, np.float32)
      if not traces_differ(
        lambda given: named_activations(self._function(given)), images
      ):
        return True
      cause: Exception = RuntimeError("every trace has other constants")
    except UserError:
      raise
    except Exception as error:  # any error of the user's function
      cause = error
    errors: list[Exception] = []
    for to_input in (np.array, jnp.asarray):
      self._to_input = to_input
      try:
        self._trial_shapes = self._run_shapes(TRACED_BATCH)
      except UserError:
        raise
      except Exception as error:
        errors.append(error)
      else:
        self.trace_failure = one_line_error(cause)
        return False
    # If tracing alone failed in `cause`, the error on concrete arrays is more useful.
    only_traced = "trace" in f"{type(cause)} {cause}".lower()
    fault = errors[0] if only_traced else cause
    raise self.run_error(fault) from fault

  def _run_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    images = black_images(batch, self.image_size, self.channels)
    return {name: array.shape for name, array in self._arrays(images).items()}

  def _arrays(
    self, images: UInt8[np.ndarray, "batch rows columns c"]
  ) -> dict[str, np.ndarray]:
    # A copy: the function may write into its images, and torch warns if they are
    # read-only.
    pixels = self._to_input(self._preprocessing.normalize(images))
    found = named_activations(full_float32(self._function)(pixels))
    return {name: np.array(array) for name, array in found.items()}
