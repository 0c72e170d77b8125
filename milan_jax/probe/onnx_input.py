"""The input of an ONNX model of images. Needs onnx."""

import dataclasses
from collections.abc import Sequence

import onnx
from onnx import TensorProto

from milan_jax.errors import UserError

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
    name: of its tensor.
    dtype: of its values, as numpy calls it.
    axes: `NCHW` or `NHWC`.
    batch: images that it takes at once; None: any number.
    side: of the images, in pixels; None: any.
  """

  name: str
  dtype: str
  axes: str
  batch: int | None
  side: int | None

  def shape(self, batch: int, side: int) -> tuple[int, int, int, int]:
    """The shape of some images, as the model takes them."""
    return (batch, 3, side, side) if self.axes == "NCHW" else (batch, side, side, 3)


def image_input(inputs: Sequence[onnx.ValueInfoProto]) -> ImageInput:
  """Reads what a model says of its inputs.

  Raises:
    UserError: if there are several, or it does not take images.
  """
  if len(inputs) != 1:
    names = ", ".join(one.name for one in inputs) or "none"
    raise UserError(f"The model's inputs are {names}: expected one, of images.")
  (one,) = inputs
  kind = one.type.tensor_type
  if kind.elem_type not in _DTYPES:
    given = TensorProto.DataType.Name(kind.elem_type)
    raise UserError(
      f"The model's input {one.name} is of {given}: expected images, of FLOAT or UINT8."
    )
  sizes = [dim.dim_value or None for dim in kind.shape.dim]
  sizes = sizes if kind.HasField("shape") else [None, 3, None, None]
  if len(sizes) != 4 or (sizes[1] not in (3, None) and sizes[3] != 3):
    shape = ", ".join(str(size or "?") for size in sizes)
    raise UserError(
      f"The model's input {one.name} has the shape ({shape}): expected images, "
      "(batch, 3, height, width) or (batch, height, width, 3)."
    )
  axes = "NHWC" if sizes[3] == 3 and sizes[1] != 3 else "NCHW"
  sides = {size for size in (sizes[2:] if axes == "NCHW" else sizes[1:3]) if size}
  if len(sides) > 1:
    raise UserError(
      f"The model's input {one.name} takes images whose sides differ: expected square "
      "ones. Export it for them."
    )
  return ImageInput(
    one.name, _DTYPES[kind.elem_type], axes, sizes[0], next(iter(sides), None)
  )
