"""What all probes of JAX models share: one compiled program, run on every device."""

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
from milan_jax._src.probe.protocol import TRACED_BATCH, Activations
from milan_jax._src.probe.readings import Readings
from milan_jax._src.records import LayerShape
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.runs.precision import full_float32

# Params, normalized images and the chosen layers, None for all, in the order of their
# execution.
Run = Callable[[Any, Array, tuple[str, ...] | None], Mapping[str, Array]]

# What is raised where a model looks at the numbers in its arrays.
_ONLY_TRACED = (
  jax.errors.ConcretizationTypeError,
  jax.errors.TracerArrayConversionError,
  jax.errors.TracerBoolConversionError,
  jax.errors.TracerIntegerConversionError,
  jax.errors.NonConcreteBooleanIndexError,
)


class JaxProbe:
  """A function of parameters and images, whose layers' activations are its results.

  It is compiled once per set of layers and size of the batch, and what no chosen layer
  needs is not computed. Products are in full float32 where the model names no other
  precision. Every device runs the same program on an equal part of the
  batch, so that an image's activations are the same bytes on any number of them.

  Args:
    run: gives the activations of the layers asked for; traced by JAX.
    params: its first argument, any tree of arrays; copied to every device.
    preprocessing: how the model wants its images.
    image_size: of the images, in pixels; None takes `preprocessing.crop`.
    layouts: of layers by name or glob, where the guess would be wrong.
    devices: what to run on; None takes all of this process.
    special: tokens in front that are not patches, if the layers have any.
    convolution: `NHWC` or `NCHW`, what four axes are.

  Attributes:
    image_size: size of the images that the model takes, in pixels.
    num_devices: devices that a batch is spread over.
  """

  # Each size of batch takes a while to compile.
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
    self._program = jax.jit(full_float32(self._spread), static_argnames="layers")

  @property
  def channels(self) -> int:
    """Channels of the images that the model takes."""
    return self._preprocessing.channels

  def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
    """All that the model was given beside its images, by name."""
    return named_arrays(self._params)

  def layers(self) -> tuple[LayerShape, ...]:
    """Every layer that can be read, in the order of execution; nothing is computed.

    Raises:
      UserError: if the model does not take an image of `image_size`, nothing can be
        read, or a layer does not fit the layout that the user gave to it by name.
    """
    if not self.readings.shapes:
      arrays = self.array_shapes(TRACED_BATCH).items()
      shapes = [f"{name} of shape {shape}" for name, shape in arrays]
      more = f" and {len(shapes) - 3} more" if len(shapes) > 3 else ""
      if not shapes:
        raise UserError(
          "The model gives no array of floating numbers: return one, whose first axis "
          "is the images."
        )
      what = f"{', '.join(shapes[:3])}{more}"
      raise self.not_read(f"returns {what} for {TRACED_BATCH} images")
    return self.readings.shapes

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Reads layers in other ways, which compiles the model again."""
    self.readings.correct(corrections)
    # Another function, so that JAX traces it again.
    self._program = jax.jit(full_float32(self._spread), static_argnames="layers")

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> Activations:
    """Activations of some layers, in the model's own units, as 32-bit floats or wider.

    Raises:
      UserError: if a layer is unknown, or the batch cannot be spread evenly.
    """
    self.check_request(len(images), layers)
    parts = NamedSharding(self._mesh, PartitionSpec("data"))
    placed = jax.device_put(images, parts)
    found: Activations = self._program(self._replicas, placed, layers=layers)
    return found

  def array_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Shape of what each layer gives for a batch, in the order of execution."""
    try:
      return self.traced_shapes(batch)
    except UserError:
      raise
    except Exception as error:  # whatever the user's model raises
      raise self.does_not_run(error) from error

  def traced_shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
    """As `array_shapes`, but raises whatever the model does."""
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

  def does_not_run(self, error: Exception) -> UserError:
    """What to raise when a trial of the model raised something."""
    remedy = (
      "check its parameters, how it is called, and the size (--image_size), and that "
      f"it takes {self.channels} channel{'s' * (self.channels != 1)} (for others, give "
      "--mean and --std as many numbers)"
    )
    if isinstance(error, _ONLY_TRACED):
      remedy = (
        "JAX cannot trace it; make it of jax.numpy, or give a function of images that "
        "calls it, which is run without being traced"
      )
    return UserError(
      f"The model does not run on images of {size_text(self.image_size)} pixels "
      f"({in_a_line(error)}): {remedy}."
    )

  def not_read(self, fault: str) -> UserError:
    """What to raise when no layer can be read; `fault` is what the model does."""
    return UserError(
      f"The model {fault}, which cannot be read as positions and units: set --layouts."
    )

  def check_request(self, batch: int, layers: tuple[str, ...]) -> None:
    """Checks what is asked for.

    Raises:
      UserError: if a layer is unknown, or the batch cannot be spread evenly.
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
        f"A batch of {batch} images cannot be spread evenly over {self.num_devices} "
        "devices: take a multiple."
      )

  @functools.cached_property
  def readings(self) -> Readings:
    """How the layers are read."""
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

  def _spread(
    self, params: Any, images: Array, *, layers: tuple[str, ...]
  ) -> dict[str, Array]:
    def part(params: Any, images: Array) -> dict[str, Array]:
      found = self._run(params, self._preprocessing.normalize(images), layers)
      return {
        name: as_nhwc(found[name], name, self.readings.layouts[name], len(images))
        for name in layers
      }

    # Of one device too: the program of a part must not depend on how many there are.
    # The check of replication is for programs that talk to each other.
    return jax.shard_map(
      part,
      mesh=self._mesh,
      in_specs=(PartitionSpec(), PartitionSpec("data")),
      out_specs=PartitionSpec("data"),
      check_vma=False,
    )(params, images)


def named_arrays(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
  """The arrays and numbers in a tree, by their paths; keys of random numbers are none.

  What a random key gives is part of nothing that is computed in inference.
  """
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    kind = getattr(leaf, "dtype", None)
    if kind is None and not isinstance(leaf, int | float | complex):
      continue
    if kind is None or not jnp.issubdtype(kind, jax.dtypes.prng_key):
      yield jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(leaf)


def in_a_line(error: Exception) -> str:
  """The kind of an error and the first line of its message."""
  lines = str(error).strip().splitlines() or [""]
  return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def as_nhwc(array: Any, layer: str, layout: Layout, batch: int) -> Any:
  """Activations of a layer in our layout, in no less than 32 bits."""
  narrow = array.dtype.itemsize < 4
  array = array.astype(np.float32) if narrow else array
  return to_nhwc(array, layer, layout, batch=batch)
