"""Programs that `torch.export` made, such as `.pt2` files. Needs torch, an extra."""

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
from milan_jax._src.probe.batch_sizes import run_in_batches
from milan_jax._src.probe.image_shape import ImageShape, read_image_shape
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.protocol import TRIAL_BATCH
from milan_jax._src.probe.torch_layers import (
  TorchLayers,
  TorchLayersProbe,
  image_layers,
)
from milan_jax._src.probe.torch_nodes import NodeOutputs
from milan_jax._src.probe.torch_pixels import Pixels

# Where the arguments of an operator say that it trains.
_TRAINING = {"batch_norm": 5, "dropout": 2}


class ProgramProbe(TorchLayersProbe):
  """The nodes of an exported program, under the names of `NodeOutputs`.

  A program may fix the size of its batches, or bound it: others are cut and filled up.

  Args:
    program: it, or its file. Reading a file may run code that is in it: trust it.
    image_size: of the images, in pixels; None takes the program's own, or 224.
    mean: subtracted from each color, in units of 0 to 255; ImageNet's by default. A
      program that takes integers gets the colors as they are.
    std: each color is divided by it, in units of 0 to 255.
    device: where the program runs; None: where it was exported.
    layouts: of layers by name or glob, where the guess would be wrong.
    before_clip: whether clipped layers are read before their upper clip, which makes an
      exemplar's best positions all alike.

  Raises:
    UserError: if it is not such a program, was exported in training mode, or takes
      anything but images of that size.
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
  ) -> dict[str, np.ndarray]:
    """What the nodes give, as float32.

    Raises:
      UserError: if a name is not a layer, or nothing tells its axes.
    """
    found = self._layers  # whose trial may change the order of pixels
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
    raise UserError(f"{path} is not an exported program: make one by {how}.")
  try:
    with path.open("rb") as file:
      return torch.export.load(file)
  except Exception as error:  # of many kinds, by the version that wrote the file
    raise UserError(
      f"{path} cannot be read by torch {torch.__version__} ({error}): export it again, "
      f"by {how}."
    ) from error


def _check_mode(module: torch.fx.GraphModule) -> None:
  for node in module.graph.nodes:
    packet = getattr(node.target, "overloadpacket", None)
    index = _TRAINING.get(packet.__name__.rstrip("_")) if packet else None
    if index is not None and len(node.args) > index and node.args[index] is True:
      raise UserError(
        "The program was exported in training mode, where an image's activations "
        "depend on chance and on its batch: call model.eval() before torch.export."
      )


def _input(module: torch.fx.GraphModule, channels: int) -> tuple[Any, ImageShape]:
  """What the program says of its one input, and of images that it is.

  Args:
    module: the program.
    channels: of the images, if the user says it; else 0.
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
  """The smallest and the largest batch that the program takes; None for no limit."""
  batch = tensor.shape[0]
  if isinstance(batch, int):
    return batch, batch
  bounds = program.range_constraints.get(batch.node.expr)
  if bounds is None:
    return 1, None
  upper = None if bounds.upper > 2**31 else int(bounds.upper)
  return max(int(bounds.lower), 1), upper
