"""The input of an ONNX model of images. Needs onnx."""

import dataclasses
from collections.abc import Sequence

import onnx
from onnx import TensorProto

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import Size, sides
from milan_jax._src.probe.image_shape import ImageShape, read_image_shape

_DTYPES: dict[int, str] = {
  TensorProto.FLOAT: "float32",
  TensorProto.FLOAT16: "float16",
  TensorProto.DOUBLE: "float64",
  TensorProto.UINT8: "uint8",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ImageInput:
  """The input of a model of images.

  Attributes:
    name: name of its tensor.
    dtype: NumPy's name of its dtype.
    batch: fixed batch size; None means any.
    images: axes, channels and size of the images.
  """

  name: str
  dtype: str
  batch: int | None
  images: ImageShape

  def shape(self, batch: int, size: Size) -> tuple[int, ...]:
    """The shape of a batch of images, as the model takes it."""
    channels = self.images.channels
    if self.images.axes == "NCHW":
      return batch, channels, *sides(size)
    return batch, *sides(size), channels


def image_input(
  inputs: Sequence[onnx.ValueInfoProto], channels: int | None = None
) -> ImageInput:
  """Reads the image input of a model.

  Args:
    inputs: the model's inputs.
    channels: channels of its images, if the user sets them.

  Raises:
    UserError: if there is not exactly one, or it does not take images.
  """
  if len(inputs) != 1:
    names = ", ".join(one.name for one in inputs) or "none"
    raise UserError(f"The model's inputs are {names}: expected one, with images.")
  (one,) = inputs
  kind = one.type.tensor_type
  if kind.elem_type not in _DTYPES:
    given = TensorProto.DataType.Name(kind.elem_type)
    raise UserError(
      f"The model's input {one.name} has the type {given}: expected images of FLOAT or "
      "UINT8."
    )
  sizes = [dim.dim_value or None for dim in kind.shape.dim]
  sizes = sizes if kind.HasField("shape") else [None, channels or 3, None, None]
  images = read_image_shape(sizes, channels)
  if images is None:
    shape = ", ".join(str(size or "?") for size in sizes)
    raise UserError(
      f"The model's input {one.name} has the shape ({shape}): expected images, "
      "(batch, channels, height, width) or (batch, height, width, channels)."
    )
  return ImageInput(one.name, _DTYPES[kind.elem_type], sizes[0], images)
