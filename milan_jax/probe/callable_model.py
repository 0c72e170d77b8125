"""Any function of images that returns its activations by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, UInt8

from milan_jax.errors import UserError
from milan_jax.models.backbones.registry import Preprocessing
from milan_jax.probe.jax_model import JaxProbe, as_places, named_arrays
from milan_jax.probe.layout import Layout
from milan_jax.probe.protocol import Activations


class CallableProbe(JaxProbe):
  """A function `images -> {layer: activations}`.

  Args:
    function: takes normalised images `Float[batch height width 3]`. What it closes over
      is part of the compiled program.
    preprocessing: how it wants its images.
    compiled: whether it is one of JAX arrays, to be traced: then no more is computed
      than the chosen layers need. If not, it gets numpy arrays and may do anything, and
      all of it runs, whatever is chosen, outside JAX.
    image_size: side of the images, in pixels; None takes `preprocessing.crop`.
    layouts: of layers by name or glob, where the guess would be wrong.
    devices: what to run on, if compiled; None takes all of this process.
    special: tokens in front that are no patches, if the layers have any.
    convolution: `NHWC` or `NCHW`, what four axes are.

  Raises:
    UserError: if devices are given and it is not compiled.
  """

  def __init__(
    self,
    function: Callable[[Any], Mapping[str, Any]],
    preprocessing: Preprocessing,
    *,
    compiled: bool = True,
    image_size: int | None = None,
    layouts: Mapping[str, Layout] | None = None,
    devices: Sequence[jax.Device] | None = None,
    special: int | None = None,
    convolution: str = "NHWC",
  ):
    def run(
      _: Any, images: Array, layers: tuple[str, ...] | None
    ) -> Mapping[str, Array]:
      found = function(images)
      return {name: found[name] for name in (found if layers is None else layers)}

    if not compiled and devices is not None:
      raise UserError(
        "A function that JAX does not compile runs where it pleases: give no devices."
      )
    super().__init__(
      run,
      (),
      preprocessing,
      image_size=image_size,
      layouts=layouts,
      devices=devices if compiled else jax.local_devices()[:1],
      special=special,
      convolution=convolution,
    )
    self._function = function
    self.compiled = compiled

  def activations(
    self, images: UInt8[np.ndarray, "batch size size 3"], layers: tuple[str, ...]
  ) -> Activations:
    """Activations of some layers, in the model's own units, as 32-bit floats or wider.

    Raises:
      UserError: if a layer is unknown, or the batch cannot be spread evenly.
    """
    if self.compiled:
      return super().activations(images, layers)
    self.check_request(len(images), layers)
    found = self._arrays(images)
    return {
      name: as_places(found[name], name, self.readings.layouts[name], len(images))
      for name in layers
    }

  def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
    """Those of a function that is a tree, such as a `jax.tree_util.Partial`."""
    return named_arrays(self._function)

  def array_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Shape of what each layer gives for a batch; if not compiled, by running it."""
    if self.compiled:
      return super().array_shapes(batch)
    images = np.zeros((batch, self._image_size, self._image_size, 3), np.uint8)
    return {
      name: array.shape
      for name, array in self._arrays(images).items()
      if np.issubdtype(array.dtype, np.floating)
    }

  def _arrays(
    self, images: UInt8[np.ndarray, "batch size size 3"]
  ) -> dict[str, np.ndarray]:
    # A copy: the function may write into its images, as torch warns that it may.
    pixels = np.array(self._preprocessing.normalise(images))
    return {name: np.array(array) for name, array in self._function(pixels).items()}
