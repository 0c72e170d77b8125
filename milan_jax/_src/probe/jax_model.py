"""The base of all probes of JAX models: one compiled program, run on every device."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, UInt8

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import Size, sides, size_text
from milan_jax._src.probe.attention_parts import without_attention
from milan_jax._src.probe.layout import Layout, to_nhwc
from milan_jax._src.probe.protocol import TRACED_BATCH, Activations, check_images
from milan_jax._src.probe.readings import Readings, unread
from milan_jax._src.records import LayerShape
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.runs.precision import full_float32

# Takes params, normalized images and the chosen layers, None for all; returns the
# layers' arrays in the order of execution.
Run = Callable[[Any, Array, tuple[str, ...] | None], Mapping[str, Array]]

# Errors raised while tracing if a model's Python code depends on values in its arrays.
_ONLY_TRACED = (
  jax.errors.ConcretizationTypeError,
  jax.errors.TracerArrayConversionError,
  jax.errors.TracerBoolConversionError,
  jax.errors.TracerIntegerConversionError,
  jax.errors.NonConcreteBooleanIndexError,
)


class JaxProbe:
  """A function of parameters and images that returns its layers' activations.

  It is compiled once per set of layers and batch size, and computes only the chosen
  layers. Matrix products use full float32 precision unless the model sets another.
  Every device runs the same program on an equal part of the batch, so that an image's
  activations are bit-identical on any number of devices.

  Args:
    run: returns the activations of the requested layers; traced by JAX.
    params: its first argument, any tree of arrays; copied to every device.
    preprocessing: how the model's input images are prepared.
    image_size: size of the images, in pixels; None takes `preprocessing.crop`.
    layouts: layouts of layers by name or glob, which override the guess.
    devices: devices to run on; None takes all of this process.
    special: number of leading tokens that are not patches, if known.
    convolution: `NHWC` or `NCHW`, the default order of four axes.

  Attributes:
    image_size: size of the images that the model takes, in pixels.
    num_devices: number of devices that a batch is split over.
  """

  # Each batch size is compiled, which takes a while.
  compiled = True

  def __init__(
    self,
    run: Run,
    params: Any,
    preprocessing: Preprocessing,
    *,
    image_size: Size | None = None,
    layouts: Mapping[str, Layout] | None = None,
    devices: Sequence[jax.Device] | None = None,
    special: int | None = None,
    convolution: str = "NHWC",
  ):
    self._run = run
    self._params = params
    self._preprocessing = preprocessing
    self.image_size: Size = image_size or preprocessing.crop
    self._layouts = layouts
    self._special = special
    self._convolution = convolution
    self._mesh = make_mesh(jax.local_devices() if devices is None else devices)
    self.num_devices: int = self._mesh.size
    self._program = jax.jit(full_float32(self._run_sharded), static_argnames="layers")

  @property
  def channels(self) -> int:
    """Channels of the images that the model takes."""
    return self._preprocessing.channels

  def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays that the model takes in addition to its images, by name."""
    return named_arrays(self._params)

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer that can be read, in the order of execution; only traces the model.

    Raises:
      UserError: if the model does not run on images of `image_size`, no layer can be
        read, or a layer does not fit the layout that the user set for it by name.
    """
    if not self.readings.shapes:
      arrays = self.array_shapes(TRACED_BATCH).items()
      shapes = [f"{name} of shape {shape}" for name, shape in arrays]
      more = f" and {len(shapes) - 3} more" if len(shapes) > 3 else ""
      if not shapes:
        raise UserError(
          "The model returns no floating-point array: return one whose first axis is "
          "the batch."
        )
      what = f"{', '.join(shapes[:3])}{more}"
      raise self.unreadable_error(f"returns {what} for {TRACED_BATCH} images")
    return self.readings.shapes

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes the layouts of layers, which compiles the model again."""
    self.readings.correct(corrections)
    # A new function, so that JAX traces it again.
    self._program = jax.jit(full_float32(self._run_sharded), static_argnames="layers")

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> Activations:
    """Activations of some layers, in the model's own units, as 32-bit floats or wider.

    Raises:
      UserError: if the images are not uint8 of its channels; if a layer is unknown, or
        the batch cannot be split evenly over the devices.
    """
    check_images(images, self.channels)
    self.check_request(len(images), layers)
    parts = NamedSharding(self._mesh, PartitionSpec("data"))
    placed = jax.device_put(images, parts)
    found: Activations = self._program(self._replicas, placed, layers=layers)
    return found

  def array_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Shape of each layer's array for a batch, in the order of execution."""
    try:
      return self.traced_shapes(batch)
    except UserError:
      raise
    except Exception as error:  # any error of the user's model
      raise self.run_error(error) from error

  def traced_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Does the same as `array_shapes`, but raises the model's own errors."""
    shape = (batch, *sides(self.image_size), self.channels)
    images = jax.ShapeDtypeStruct(shape, np.uint8)
    order: list[str] = []

    def trial(params: Any, images: Array) -> dict[str, Array]:
      found = self._run(params, self._preprocessing.normalize(images), None)
      order.extend(found)
      return dict(found)

    arrays = jax.eval_shape(trial, self._params, images)
    return {
      name: arrays[name].shape
      for name in order
      if jnp.issubdtype(arrays[name].dtype, jnp.floating)
    }

  def run_error(self, error: Exception) -> UserError:
    """The error to raise if the model raised one on trial images."""
    remedy = (
      "check its parameters, how it is called, the size (--image_size), and that it "
      f"takes {self.channels} channel{'s' * (self.channels != 1)} (for another number, "
      "give one value per channel to --mean and --std)"
    )
    if isinstance(error, _ONLY_TRACED):
      remedy = (
        "JAX cannot trace it; write it with jax.numpy, or give a function of images "
        "that calls it, which is run without tracing"
      )
    return UserError(
      f"The model does not run on images of {size_text(self.image_size)} pixels "
      f"({one_line_error(error)}): {remedy}."
    )

  def unreadable_error(self, fault: str) -> UserError:
    """The error if no layer can be read; `fault` states what the model returns."""
    return UserError(
      f"The model {fault}, which cannot be read as positions and units: set --layouts."
    )

  def absence(self, name: str) -> str:
    """Why a name is not among the layers; empty if the model does not have it."""
    arrays = self.array_shapes(TRACED_BATCH)
    if name in arrays and name not in self.readings.layouts:
      return unread(name, arrays[name])
    return ""

  def check_request(self, batch: int, layers: tuple[str, ...]) -> None:
    """Checks the layers and the batch size of a request.

    Raises:
      UserError: if a layer is unknown, or the batch cannot be split evenly.
    """
    for name in layers:
      if name not in self.readings.layouts:
        hint = did_you_mean(name, self.readings.layouts)
        raise UserError(
          f"The model has no layer {name!r} that can be read as positions and "
          f"units.{hint} Choose another, or set --layouts."
        )
    if batch % self.num_devices:
      raise UserError(
        f"A batch of {batch} images cannot be split evenly over {self.num_devices} "
        "devices: use a multiple."
      )

  @functools.cached_property
  def readings(self) -> Readings:
    """The layouts by which layers are read."""
    arrays = self.array_shapes(TRACED_BATCH)
    height, width = sides(self.image_size)
    return Readings(
      without_attention(arrays, TRACED_BATCH, given=self._layouts or {}),
      TRACED_BATCH,
      convolution=self._convolution,
      layouts=self._layouts,
      special=self._special,
      aspect=height / width,
    )

  @functools.cached_property
  def _replicas(self) -> Any:
    return jax.device_put(self._params, NamedSharding(self._mesh, PartitionSpec()))

  def _run_sharded(
    self, params: Any, images: Array, *, layers: tuple[str, ...]
  ) -> dict[str, Array]:
    def part(params: Any, images: Array) -> dict[str, Array]:
      found = self._run(params, self._preprocessing.normalize(images), layers)
      return {
        name: as_nhwc(found[name], name, self.readings.layouts[name], len(images))
        for name in layers
      }

    # Also on one device: the program of a shard must not depend on their number.
    # check_vma is for programs that communicate.
    return jax.shard_map(
      part,
      mesh=self._mesh,
      in_specs=(PartitionSpec(), PartitionSpec("data")),
      out_specs=PartitionSpec("data"),
      check_vma=False,
    )(params, images)


def named_arrays(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
  """The arrays and numbers in a pytree, by their paths, without random keys.

  Inference does not use random keys.
  """
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    kind = getattr(leaf, "dtype", None)
    if kind is None and not isinstance(leaf, int | float | complex):
      continue
    if kind is None or not jnp.issubdtype(kind, jax.dtypes.prng_key):
      yield jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(leaf)


def one_line_error(error: Exception) -> str:
  """The kind of an error and the first line of its message."""
  lines = str(error).strip().splitlines() or [""]
  return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def as_nhwc(array: Any, layer: str, layout: Layout, batch: int) -> Any:
  """Converts a layer's activations to NHWC, in at least 32 bits."""
  narrow = array.dtype.itemsize < 4
  array = array.astype(np.float32) if narrow else array
  return to_nhwc(array, layer, layout, batch=batch)
