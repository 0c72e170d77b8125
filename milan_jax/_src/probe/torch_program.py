"""Programs exported by `torch.export` (`.pt2` files). Needs the extra `torch`."""

import functools
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import default_mean_and_std
from milan_jax._src.images.sizes import Size
from milan_jax._src.probe.batch_sizes import Arrays, run_in_batches
from milan_jax._src.probe.image_shape import ImageShape, read_image_shape
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import TRIAL_BATCH, check_images
from milan_jax._src.probe.torch_layers import (
  TorchLayers,
  TorchLayersProbe,
  image_layers,
)
from milan_jax._src.probe.torch_nodes import NodeOutputs
from milan_jax._src.probe.torch_pixels import Pixels
from milan_jax._src.runs.memory import share_device_memory

# Index of the argument that sets an operator's training mode.
_TRAINING = {"batch_norm": 5, "dropout": 2}


class ProgramProbe(TorchLayersProbe):
  """Reads the nodes of an exported program, named as in `NodeOutputs`.

  A program may have a fixed or bounded batch size: other batches are split and padded.

  Args:
    program: the program, or its file. Reading a file may run code in it: it must be
      trusted.
    image_size: size of the images, in pixels; None takes the program's own, or 224.
    mean: subtracted from each channel, on the scale of 0 to 255; ImageNet's by default.
      A program that takes integers gets the pixels unchanged.
    std: each channel is then divided by it, on the scale of 0 to 255.
    device: device to run on; None for the one it was exported on.
    layouts: layouts of layers by name or glob, which override the guess.
    before_clip: whether clipped layers are read before their upper clip, which makes an
      exemplar's strongest positions equal.

  Raises:
    UserError: if it is not such a program, was exported in training mode, or does not
      take images of that size.
  """

  def __init__(
    self,
    program: str | pathlib.Path | ExportedProgram,
    image_size: Size | None = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    device: str | None = None,
    layouts: Mapping[str, Layout] | None = None,
    before_clip: bool = True,
  ):
    if not isinstance(program, ExportedProgram):
      program = _load(pathlib.Path(program))
    if device is not None:
      program = move_to_device_pass(program, device)
    module = program.module()
    _check_mode(module)
    tensor, images = _input(module, len(mean or std or ()))
    if tensor.device.type != "cpu":
      share_device_memory()
    self._min_batch, self._max_batch = _batch_sizes(program, tensor)
    self.image_size = images.size(image_size, "program")
    self._channels = images.channels
    usual_mean, usual_std = default_mean_and_std(images.channels)
    self._pixels = Pixels(
      mean or usual_mean, std or usual_std, dtype=tensor.dtype, device=tensor.device
    )
    self._pixels.axes = images.axes
    self._module = module
    self._outputs = NodeOutputs(module, before_clip=before_clip)
    self._layouts = layouts

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> Arrays:
    """The outputs of nodes, as float32.

    Raises:
      UserError: if the images are not uint8 of its channels; if a name is not a layer,
        or its layout is unknown.
    """
    check_images(images, self.channels)
    found = self._layers  # first: its trial may change the memory format of pixels
    return run_in_batches(
      lambda part: found.activations([self._pixels(part)], layers),
      images,
      min_size=self._min_batch,
      max_size=self._max_batch,
    )

  @functools.cached_property
  def _layers(self) -> TorchLayers:  # type: ignore[override]
    batch = max(TRIAL_BATCH, self._min_batch)
    batch = min(batch, self._max_batch or batch)
    return image_layers(
      self._outputs,
      self._pixels,
      self.trial_images(batch),
      self._layouts,
      min_size=self._min_batch,
      max_size=self._max_batch,
    )


def _load(path: pathlib.Path) -> ExportedProgram:
  how = "torch.export.save(torch.export.export(model.eval(), (images,)), path)"
  if not path.is_file():
    raise UserError(f"{path}: there is no such file.")
  members = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
  marks = ("archive_format", "serialized_exported_program.json")
  if not any(member.endswith(marks) for member in members):
    raise UserError(f"{path} is not an exported program: create one with {how}.")
  try:
    with path.open("rb") as file:
      return torch.export.load(file)
  except Exception as error:  # of many kinds, depending on the version of the file
    raise UserError(
      f"{path} cannot be read by torch {torch.__version__} ({error}): export it again "
      f"with {how}."
    ) from error


def _check_mode(module: torch.fx.GraphModule) -> None:
  for node in module.graph.nodes:
    packet = getattr(node.target, "overloadpacket", None)
    index = _TRAINING.get(packet.__name__.rstrip("_")) if packet else None
    if index is not None and len(node.args) > index and node.args[index] is True:
      raise UserError(
        "The program was exported in training mode, where an image's activations are "
        "random and depend on its batch: call model.eval() before torch.export."
      )


def _input(module: torch.fx.GraphModule, channels: int) -> tuple[Any, ImageShape]:
  """The program's only input, and the images that it takes.

  Args:
    module: the program.
    channels: channels of the images, if the user sets them, or 0.
  """
  inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
  tensor = inputs[0].meta.get("val") if len(inputs) == 1 else None
  if not isinstance(tensor, torch.Tensor):
    names = ", ".join(node.name for node in inputs)
    raise UserError(
      f"The program takes {names or 'nothing'}: expected one tensor of images."
    )
  shape = [side if isinstance(side, int) else None for side in tensor.shape]
  images = read_image_shape(shape, channels or None)
  if images is None:
    raise UserError(
      f"The program takes an array of shape {tuple(tensor.shape)}: expected images, "
      "(batch, channels, height, width) or (batch, height, width, channels)."
    )
  return tensor, images


def _batch_sizes(program: ExportedProgram, tensor: Any) -> tuple[int, int | None]:
  """The smallest and largest batch size that the program takes; None for no limit."""
  batch = tensor.shape[0]
  if isinstance(batch, int):
    return batch, batch
  bounds = program.range_constraints.get(batch.node.expr)
  if bounds is None:
    return 1, None
  upper = None if bounds.upper > 2**31 else int(bounds.upper)
  return max(int(bounds.lower), 1), upper
