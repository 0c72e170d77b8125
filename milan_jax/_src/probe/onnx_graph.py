"""Shapes and clips of an ONNX model's tensors. Needs onnx."""

import dataclasses
import functools
import math
import pathlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, numpy_helper

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size
from milan_jax._src.probe.onnx_input import ImageInput, image_input

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
  """A clip of a tensor: `max(min(tensor, high), low)`."""

  tensor: str
  low: float
  high: float


class OnnxGraph:
  """An ONNX model whose outputs can be chosen. Its file is never modified.

  Args:
    model: the model, or its file; weights in other files are not loaded.
    channels: channels of its images, if the user sets them.

  Raises:
    UserError: if there is no such file, or it is not a model.
  """

  def __init__(
    self, model: str | pathlib.Path | onnx.ModelProto, channels: int | None = None
  ):
    self._channels = channels
    self.folder: pathlib.Path | None = None
    self._model = onnx.ModelProto()
    if isinstance(model, onnx.ModelProto):
      self._model.CopyFrom(model)
    else:
      path = pathlib.Path(model)
      self.folder = path.absolute().parent
      if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
      try:
        self._model = onnx.load(path, format="protobuf", load_external_data=False)
      except DecodeError as error:
        raise UserError(f"{path} is not an ONNX model: {error}.") from error
    if not self._model.graph.node:
      raise UserError(
        f"{model if self.folder else 'It'} is not an ONNX model: it has no nodes."
      )
    graph = self._model.graph
    self._initializers = {one.name: one for one in graph.initializer}
    self._producers = {
      name: node for node in graph.node for name in node.output if name
    }

  @functools.cached_property
  def input(self) -> ImageInput:
    """The model's only input.

    Raises:
      UserError: if it has several, or it does not take images.
    """
    given = self._model.graph.input
    return image_input(
      [one for one in given if one.name not in self._initializers], self._channels
    )

  def tensors(self) -> list[str]:
    """Tensors that depend on the input, in the order of the graph."""
    reachable = {self.input.name: None}
    for node in self._model.graph.node:
      inner = any(one.HasField("g") for one in node.attribute)
      if inner or any(name in reachable for name in node.input):
        reachable.update(dict.fromkeys(filter(None, node.output)))
    return [name for name in reachable if name != self.input.name]

  def weight_files(self) -> list[str]:
    """Paths of the files with external weights, as stored in the model."""
    inside = (one for node in self._model.graph.node for one in node.attribute)
    tensors = [*self._model.graph.initializer, *(one.t for one in inside)]
    entries = (entry for tensor in tensors for entry in tensor.external_data)
    return sorted({entry.value for entry in entries if entry.key == "location"})

  def aliases(self) -> dict[str, str]:
    """The first output tensor of each node, by node name if it is unambiguous."""
    times = Counter(node.name for node in self._model.graph.node)
    return {
      node.name: node.output[0]
      for node in self._model.graph.node
      if node.name and times[node.name] == 1 and node.name not in self._producers
    }

  def clip(self, tensor: str) -> Clip | None:
    """The clip that outputs a tensor; None if it has no constant upper bound."""
    node = self._producers.get(tensor)
    if node is None:
      return None
    bounds = {one.name: one.f for one in node.attribute if one.name in ("min", "max")}
    given: list[float | None] = [self._number(name) for name in node.input]
    if node.op_type == "Clip":
      source = node.input[0]
      low = (
        given[1] if len(given) > 1 and node.input[1] else bounds.get("min", -math.inf)
      )
      high = given[2] if len(given) > 2 else bounds.get("max")
    elif node.op_type == "Min" and len(given) == 2 and given != [None, None]:
      # Some exporters write ReLU6 like this.
      source, high = node.input[given.index(None)], next(filter(None, given), None)
      low = -math.inf
    else:
      return None
    if low is None or high is None or math.isinf(high) or source not in self._producers:
      return None
    return Clip(source, low, high)

  def shapes(self, batch: int, size: Size) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element types and shapes of the tensors whose shape can be inferred.

    Args:
      batch: number of images in the batch.
      size: size of the images, in pixels.
    """
    model = onnx.ModelProto()
    model.CopyFrom(self._model)
    del model.graph.value_info[:]  # may be for another batch size
    (one,) = (one for one in model.graph.input if one.name == self.input.name)
    del one.type.tensor_type.shape.dim[:]
    for length in self.input.shape(batch, size):
      one.type.tensor_type.shape.dim.add(dim_value=length)
    for output in model.graph.output:
      output.ClearField("type")
    try:
      model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, EncodeError, ValueError):
      return {}  # unknown operators, or over 2 GB
    found = {}
    for value in (*model.graph.value_info, *model.graph.output):
      kind = value.type.tensor_type
      dims = kind.shape.dim
      if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
        found[value.name] = (kind.elem_type, tuple(dim.dim_value for dim in dims))
    return found

  def with_outputs(self, tensors: Sequence[str]) -> bytes:
    """The model with other outputs.

    Raises:
      UserError: if it is too large to be serialized in memory.
    """
    outputs = self._model.graph.output
    own = list(outputs)
    del outputs[:]
    outputs.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    try:
      content: bytes = self._model.SerializeToString()
      return content
    except (ValueError, EncodeError) as error:
      raise UserError(
        "The model is over 2 GB: save it with its weights in a separate file, by "
        "onnx.save(model, path, save_as_external_data=True)."
      ) from error
    finally:
      del outputs[:]
      outputs.extend(own)

  def _number(self, name: str) -> float | None:
    """The value of a scalar constant."""
    node = self._producers.get(name)
    while node is not None and node.op_type in ("Identity", "Cast"):
      name = node.input[0]
      node = self._producers.get(name)
    tensor = self._initializers.get(name)
    if node is not None and node.op_type == "Constant":
      (value,) = node.attribute
      if value.name == "value_float":
        constant: float = value.f
        return constant
      tensor = value.t if value.name == "value" else None
    if tensor is None or math.prod(tensor.dims) != 1:
      return None
    array = numpy_helper.to_array(tensor, str(self.folder or ""))
    return float(array.reshape(())) if np.issubdtype(array.dtype, np.number) else None
