"""Converts tensors of torch models to layers with positions and units."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
import torch
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.probe.attention_parts import without_attention
from milan_jax._src.probe.batch_sizes import Arrays, run_in_batches
from milan_jax._src.probe.layout import Layout, to_nhwc
from milan_jax._src.probe.layout_check import determine_layouts
from milan_jax._src.probe.protocol import OneDevice
from milan_jax._src.probe.readings import Readings, unread
from milan_jax._src.probe.torch_pixels import Pixels
from milan_jax._src.probe.white_square import pictures
from milan_jax._src.records import LayerShape


@runtime_checkable
class Outputs(Protocol):
  """The readable outputs of a model: of a module's submodules, or a program's nodes."""

  @property
  def known(self) -> Mapping[str, Layout]:
    """Layouts known from the model's attributes, by layer, after `survey`."""

  @property
  def notes(self) -> Mapping[str, str]:
    """Remarks on how layers are read, by layer name, after `survey`."""

  def survey(self, inputs: Sequence[torch.Tensor]) -> Mapping[str, tuple[int, ...]]:
    """The shapes of all layers, in the order of execution."""

  def read(
    self, inputs: Sequence[torch.Tensor], layers: Sequence[str]
  ) -> dict[str, torch.Tensor]:
    """The tensors of some layers; raises UserError if one is not a layer."""

  def absence(self, name: str) -> str:
    """Why a name is not a layer, after `survey`; empty if the model lacks it."""


class TorchLayers:
  """The layers of a torch model, with their positions and units.

  Args:
    outputs: the model's outputs.
    trial: inputs of a trial run that determines the layers' shapes, batch first.
    layouts: layouts of layers by name or glob, which override the guess.
    special: number of leading tokens that are not patches, if known.
    aspect: height of the images divided by their width.
  """

  def __init__(
    self,
    outputs: Outputs,
    trial: Sequence[torch.Tensor],
    layouts: Mapping[str, Layout] | None,
    *,
    special: int | None = None,
    aspect: float = 1.0,
  ):
    arrays = outputs.survey(trial)
    self._arrays = arrays
    self._outputs = outputs
    batch, known = len(trial[0]), outputs.known
    self.readings = Readings(
      without_attention(arrays, batch, given={**known, **(layouts or {})}),
      batch,
      convolution="NCHW",
      layouts=layouts,
      known=known,
      special=special,
      aspect=aspect,
    )

  @property
  def shapes(self) -> tuple[LayerShape, ...]:
    """The layers that can be read."""
    return self.readings.shapes

  def notes(self) -> dict[str, str]:
    """Remarks on how layers are read, by layer name."""
    kinds = (self._outputs.notes, self.readings.notes())
    found = {
      one.name: "; ".join(notes[one.name] for notes in kinds if one.name in notes)
      for one in self.shapes
    }
    return {name: note for name, note in found.items() if note}

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes the layouts of layers."""
    self.readings.correct(corrections)

  def absence(self, name: str) -> str:
    """Why a name is not among the layers; empty if the model does not have it."""
    if name in self._arrays and name not in self.readings.layouts:
      return unread(name, self._arrays[name])
    return self._outputs.absence(name)

  def activations(
    self, inputs: Sequence[torch.Tensor], layers: Sequence[str]
  ) -> Arrays:
    """Activations `(batch, height, width, units)`, of float32, of some layers.

    JAX arrays on the GPU for a model there, if JAX uses it, too; else NumPy arrays.

    Raises:
      UserError: if a name is not a layer, or its layout is unknown.
    """
    for name in layers:
      if name in self._arrays and name not in self.readings.layouts:
        raise UserError(self.absence(name))
    tensors = self._outputs.read(inputs, layers)
    absent = [name for name in layers if name not in tensors]
    if absent:
      raise UserError(
        f"Layer {absent[0]} did not run for these images, although it ran for black "
        "images: choose a layer that runs for all images."
      )
    batch, layouts = len(inputs[0]), self.readings.layouts
    return {
      name: to_nhwc(as_array(tensors[name]), name, layouts[name], batch=batch)
      for name in layers
    }


class TorchLayersProbe(OneDevice):
  """The base of probes of torch models; a subclass sets `_layers` and `_module`."""

  _layers: TorchLayers
  _module: torch.nn.Module

  def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
    """Parameters and buffers, by name; as bytes, because NumPy lacks some dtypes."""
    module = self._module
    named = itertools.chain(
      module.named_parameters(remove_duplicate=False),
      module.named_buffers(remove_duplicate=False),
    )
    for name, tensor in named:
      flat = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
      flat = flat.cpu().contiguous().reshape(-1)
      shape = (*tensor.shape, tensor.element_size())
      yield name, flat.view(torch.uint8).numpy().reshape(shape)

  def layers(self) -> tuple[LayerShape, ...]:
    """Every tensor that can be read as positions and units, in execution order."""
    return self._layers.shapes

  @property
  def readings(self) -> Readings:
    """The layouts by which layers are read."""
    return self._layers.readings

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes the layouts of layers."""
    self.readings.correct(corrections)

  def notes(self) -> Mapping[str, str]:
    """Remarks on how layers are read, by layer name."""
    return self._layers.notes()

  def absence(self, name: str) -> str:
    """Why a name is not among the layers; empty if the model does not have it."""
    return self._layers.absence(name)


def image_layers(
  outputs: Outputs,
  pixels: Pixels,
  images: UInt8[np.ndarray, "batch rows columns c"],
  layouts: Mapping[str, Layout] | None,
  special: int | None = None,
  *,
  min_size: int = 1,
  max_size: int | None = None,
) -> TorchLayers:
  """The layers of a model of images, with layouts checked by white squares.

  Args:
    outputs: the model's outputs.
    pixels: prepares its images; set to contiguous memory if the model needs that.
    images: images for a trial run.
    layouts: layouts of layers by name or glob, which override the guess.
    special: number of leading tokens that are not patches, if known.
    min_size: smallest batch that the model takes.
    max_size: largest batch that the model takes; None for no limit.
  """
  found = _run_on_trial(outputs, pixels, images, layouts, special)
  squares = pictures(*images.shape[1:])

  def show(names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    shown = run_in_batches(
      lambda part: found.activations([pixels(part)], names),
      squares,
      min_size=min_size,
      max_size=max_size,
    )
    return {name: np.asarray(array) for name, array in shown.items()}

  determine_layouts(found, show, aspect=images.shape[1] / images.shape[2])
  return found


def _run_on_trial(
  outputs: Outputs,
  pixels: Pixels,
  images: UInt8[np.ndarray, "batch rows columns c"],
  layouts: Mapping[str, Layout] | None,
  special: int | None,
) -> TorchLayers:
  options: dict[str, Any] = {
    "special": special,
    "aspect": images.shape[1] / images.shape[2],
  }
  try:
    try:
      return TorchLayers(outputs, [pixels(images)], layouts, **options)
    except RuntimeError as error:
      # `x.view(len(x), -1)` needs tensors in torch's contiguous memory format.
      if "view" not in str(error):
        raise
      pixels.channels_last = False
      return TorchLayers(outputs, [pixels(images)], layouts, **options)
  except UserError:
    raise
  except Exception as error:  # any error of the user's model
    raise _does_not_run(images, error) from error


def _does_not_run(
  images: UInt8[np.ndarray, "batch rows columns c"], error: Exception
) -> UserError:
  _, height, width, channels = images.shape
  return UserError(
    f"The model does not run on images of {height} x {width} pixels "
    f"({type(error).__name__}: {error}): check the size (--image_size), and that it "
    f"takes one tensor of images of {channels} channel{'s' * (channels != 1)} (for "
    "another number, give one value per channel to --mean and --std). A generator "
    "needs --latents."
  )


def as_array(tensor: torch.Tensor) -> np.ndarray | jax.Array:
  """Returns a tensor as an array of float32 that shares its memory if possible.

  A tensor on a GPU that JAX uses too becomes a JAX array there: it is brought to NHWC
  on the GPU, and its copy to the host can overlap with those of other layers.
  """
  # DLPack shares the memory without the negative bit of a lazy conjugate's parts.
  tensor = tensor.detach().float().resolve_neg()
  if (tensor.device.type, tensor.device.index) in _jax_devices():
    return _as_jax(tensor)
  # DLPack shares the memory with its strides.
  return np.from_dlpack(tensor.cpu())


def _as_jax(tensor: torch.Tensor) -> jax.Array:
  channels_last = tensor.ndim == 4 and tensor.is_contiguous(
    memory_format=torch.channels_last
  )
  if not channels_last:
    # JAX does not import gaps and repetitions.
    tensor = tensor.contiguous()
  array: jax.Array = jax.dlpack.from_dlpack(tensor)
  return array


@functools.cache
def _jax_devices() -> frozenset[tuple[str, int]]:
  """Torch's names of the GPUs that JAX uses, too."""
  gpus = jax.local_devices() if jax.default_backend() == "gpu" else []
  return frozenset(("cuda", gpu.local_hardware_id) for gpu in gpus)
