"""Convolution and pooling with a choice of lowerings.

Inputs are NHWC and kernels HWIO. Padding is explicit: symmetric as in torch, or from
`same_padding` as in TensorFlow. There are three lowerings, whose results agree within
1e-5 of the output's maximum:

- `plain` is XLA's own convolution, for GPUs.
- `tpu` is the same, except for windows of several pixels in full float32: XLA takes six
  products of bfloat16 parts for one of float32, and compiles each such convolution for
  7 to 10 s. Here a loop adds the six products (2 to 3 s), unless their sums are larger
  than a TPU's own memory may hold.
- `cpu` avoids slow paths of XLA's CPU backend. A depthwise convolution is a sum of
  shifted products. A 1 x 1 convolution is a matrix product. A 3 x 3 convolution is
  Winograd's F(2, 3) or, with a stride, a matrix product of gathered windows; both
  process a few images at a time, so that intermediates stay in the cache.
  `docs/backbones.md` gives the speedups.

Products are in full float32 on every device, for any `jax.default_matmul_precision` (by
default, a GPU rounds the operands to 10 bits and a TPU to 7), unless `use_rounding` is
in effect.
"""

import contextlib
import contextvars
import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from milan_jax._src.errors import UserError

Lowering = Literal["cpu", "plain", "tpu"]
# Pixels added before and after: top and bottom, left and right.
Padding = tuple[tuple[int, int], tuple[int, int]]

# Maximum size of Winograd's transformed tiles, or of the gathered windows, of one chunk
# of images. They fit a server's last-level cache; 6 to 13 MB are equally fast.
CHUNK_BYTES = 8 * 2**20
# Within these bounds, each was measured to be faster than the plain convolution.
WINOGRAD_MIN_CHANNELS = 64
WINOGRAD_MAX_SIDE = 56
GATHER_MAX_CHANNELS = 64
# Maximum size of the sums of six products in a loop: half of a TPU v5e's own memory.
LOOP_BYTES = 64 * 2**20

# Type to which products round their operands; sums are always in float32.
Rounding = Literal["float32", "bfloat16"]

_using: contextvars.ContextVar[Lowering | None] = contextvars.ContextVar(
  "lowering", default=None
)
_rounding: contextvars.ContextVar[Rounding] = contextvars.ContextVar(
  "rounding", default="float32"
)

# Layers that are read; None where parts are not computed in loops.
_read: contextvars.ContextVar[frozenset[str] | None] = contextvars.ContextVar(
  "read", default=None
)


@contextlib.contextmanager
def use_lowering(lowering: Lowering) -> Iterator[None]:
  """Sets the lowering of functions traced in the block.

  An argument `lowering` overrides it. It is read during tracing and has no effect on
  compiled functions.
  """
  token = _using.set(lowering)
  try:
    yield
  finally:
    _using.reset(token)


@contextlib.contextmanager
def use_rounding(rounding: Rounding) -> Iterator[None]:
  """Sets the rounding of operands in products of functions traced in the block.

  It does not apply to the `cpu` lowering's depthwise convolutions, which are not matrix
  products.
  """
  token = _rounding.set(rounding)
  try:
    yield
  finally:
    _rounding.reset(token)


@contextlib.contextmanager
def use_loops(layers: Iterable[str]) -> Iterator[None]:
  """Lets equal parts of networks traced in the block be computed in one loop.

  A loop compiles its body once: a compiler for TPUs takes about a second for each
  convolution in full float32. Inside a loop no layer can be read.

  Args:
    layers: names of the layers that are read; the parts around them have no loop.
  """
  token = _read.set(frozenset(layers))
  try:
    yield
  finally:
    _read.reset(token)


def may_loop(path: Sequence[str]) -> bool:
  """Returns whether a part may be computed in a loop: none of its layers is read.

  Args:
    path: names of the modules around the part, outermost first, and its own.
  """
  read = _read.get()
  name = ".".join(path)
  return read is not None and not any(
    layer == name or layer.startswith(f"{name}.") for layer in read
  )


def current_lowering() -> Lowering:
  """Returns the lowering set by `use_lowering`, or the default backend's."""
  chosen = _using.get()
  if chosen is not None:
    return chosen
  found: dict[str, Lowering] = {"cpu": "cpu", "tpu": "tpu"}
  return found.get(jax.default_backend(), "plain")


def conv(
  inputs: Float[Array, "batch height width channels"],
  kernel: Float[Array, "rows columns group_channels features"],
  *,
  stride: int = 1,
  padding: int | Padding = 0,
  groups: int = 1,
  lowering: Lowering | None = None,
) -> Float[Array, "batch out_height out_width features"]:
  """Convolves (cross-correlates, as networks do) with zeros around the input.

  Args:
    inputs: images or activations.
    kernel: weights; `group_channels` is `channels / groups`.
    stride: step between windows, in pixels.
    padding: number of zeros added on every side, or on each side, in pixels.
    groups: number of independent groups of channels.
    lowering: the lowering; None for `current_lowering()`.

  Raises:
    UserError: if no window fits.
  """
  rows, columns, group_channels, features = kernel.shape
  if isinstance(padding, int):
    padding = ((padding, padding), (padding, padding))
  sides = _output_sides(inputs, (rows, columns), stride, padding)
  how = lowering or current_lowering()
  if how == "cpu":
    if groups == features and group_channels == 1:
      return _depthwise(inputs, kernel, stride, padding, sides)
    if groups == 1 and (rows, columns) == (1, 1) and not any(sum(padding, ())):
      return _dot(inputs[:, ::stride, ::stride], kernel[0, 0])
    if groups == 1 and (rows, columns) == (3, 3):
      if stride > 1 and group_channels <= GATHER_MAX_CHANNELS:
        return _gathered(inputs, kernel, stride, padding, sides)
      wide = min(group_channels, features) >= WINOGRAD_MIN_CHANNELS
      if stride == 1 and wide and max(sides) <= WINOGRAD_MAX_SIDE:
        return _winograd(inputs, kernel, padding, sides)

  def convolve(inputs: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
      inputs,
      kernel,
      (stride, stride),
      padding,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=groups,
      precision=lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
    )

  inputs, kernel = _rounded(inputs), _rounded(kernel)
  if how == "tpu" and rows * columns > 1 and inputs.dtype == jnp.float32:
    shape = (inputs.shape[0], *sides, features)
    if 4 * math.prod(shape) <= LOOP_BYTES:
      return _sum_of_products(convolve, inputs, kernel, shape)
  return convolve(inputs, kernel)


def same_padding(sides: Sequence[int], size: int, stride: int) -> Padding:
  """Returns TensorFlow's `SAME` padding.

  The sides of the output are those of the input divided by the stride, rounded up. If
  the number of zeros is odd, bottom and right get one more than top and left. With a
  stride of 2 and an even side, windows start one pixel later than with torch's padding.

  Args:
    sides: height and width of the input, in pixels.
    size: side of the window, in pixels.
    stride: step between windows, in pixels.
  """
  totals = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in sides]
  (top, bottom), (left, right) = ((total // 2, -(-total // 2)) for total in totals)
  return (top, bottom), (left, right)


def linear(
  inputs: Float[Array, "batch channels"], kernel: Float[Array, "channels features"]
) -> Float[Array, "batch features"]:
  """Returns the matrix product."""
  return _dot(inputs, kernel)


def max_pool(
  inputs: Float[Array, "batch height width channels"],
  *,
  size: int,
  stride: int,
  padding: int = 0,
) -> Float[Array, "batch out_height out_width channels"]:
  """Returns the maximum of each window; windows that exceed the border are dropped.

  Args:
    inputs: activations.
    size: side of the window, in pixels.
    stride: step between windows, in pixels.
    padding: number of pixels of minus infinity added on every side.

  Raises:
    UserError: if no window fits.

  Source: torch's `MaxPool2d` with `ceil_mode=False`.
  """
  around = (padding, padding)
  _output_sides(inputs, (size, size), stride, (around, around))
  largest: Array = lax.reduce_window(
    inputs,
    -jnp.inf,
    lax.max,
    (1, size, size, 1),
    (1, stride, stride, 1),
    [(0, 0), around, around, (0, 0)],
  )
  return largest


def adaptive_average_pool(
  inputs: Float[Array, "batch height width channels"], size: int
) -> Float[Array, "batch {size} {size} channels"]:
  """Returns means over `size x size` windows that cover an input of any size.

  Along an axis of n pixels, window i spans floor(i n / size) to
  ceil((i + 1) n / size). Windows overlap if n is not a multiple of `size`, and repeat
  if n is smaller than `size`.

  Source: torch's `AdaptiveAvgPool2d`.
  """
  rows, columns = (_window_means(side, size) for side in inputs.shape[1:3])
  return jnp.einsum(
    "ih,jw,bhwc->bijc", rows, columns, inputs, precision=lax.Precision.HIGHEST
  ).astype(inputs.dtype)


def _window_means(side: int, size: int) -> Float[np.ndarray, "size side"]:
  """Returns the weights with which each window averages the pixels of one axis."""
  weights = np.zeros((size, side), np.float32)
  for index in range(size):
    start = index * side // size
    stop = -(-(index + 1) * side // size)
    weights[index, start:stop] = 1 / (stop - start)
  return weights


def current_rounding() -> Rounding:
  """Returns the rounding set by `use_rounding`, or "float32", which does not round."""
  return _rounding.get()


def _rounded(operand: Array | np.ndarray) -> Array:
  """Rounds an operand of a product to the type set by `use_rounding`."""
  return jnp.asarray(operand).astype(current_rounding())


def _sum_of_products(
  product: Callable[[Array, Array], Array],
  inputs: Array,
  kernel: Array,
  shape: tuple[int, ...],
) -> Array:
  """Returns a product in float32 as a sum of products in bfloat16.

  A float32 is the sum of three bfloat16 numbers. Of the nine products of such parts the
  six largest are added, the smallest first, as XLA does for `Precision.HIGHEST` on a
  TPU.

  Args:
    product: of operands in bfloat16, in float32.
    inputs: left operand.
    kernel: right operand.
    shape: shape of the product.
  """
  lefts, rights = _bfloat16_parts(inputs), _bfloat16_parts(kernel)

  def step(total: Array, parts: Array) -> tuple[Array, None]:
    return total + product(lefts[parts[0]], rights[parts[1]]), None

  pairs = jnp.array([(2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0)])
  total: Array = lax.scan(step, jnp.zeros(shape), pairs)[0]
  return total


def _bfloat16_parts(values: Array) -> Array:
  """Splits float32 values into three bfloat16 numbers each, the largest first."""
  parts = []
  for _ in range(3):
    # XLA may leave out a conversion to fewer bits and back, but not this.
    part = lax.reduce_precision(values, exponent_bits=8, mantissa_bits=7)
    parts.append(part.astype(jnp.bfloat16))
    values = values - part
  return jnp.stack(parts)


def _output_sides(
  inputs: Array, window: tuple[int, int], stride: int, padding: Padding
) -> tuple[int, int]:
  """Returns the number of windows along height and width."""
  height, width = (
    (side + sum(around) - length) // stride + 1
    for side, length, around in zip(inputs.shape[1:3], window, padding, strict=True)
  )
  if height < 1 or width < 1:
    raise UserError(
      f"An input of {inputs.shape[1]} x {inputs.shape[2]} pixels, padded by {padding}, "
      f"is smaller than a window of {window[0]} x {window[1]}: use larger images."
    )
  return height, width


def _padded(inputs: Array, padding: Padding) -> Array:
  return jnp.pad(inputs, ((0, 0), *padding, (0, 0)))


def _shifts(
  padded: Array, window: Sequence[int], stride: int, sides: Sequence[int]
) -> Iterator[tuple[int, int, Array]]:
  """Yields each offset within the window, with the pixels of all windows there."""
  height, width = ((side - 1) * stride + 1 for side in sides)
  for row in range(window[0]):
    for column in range(window[1]):
      pixels = padded[:, row : row + height : stride, column : column + width : stride]
      yield row, column, pixels


def _dot(inputs: Array | np.ndarray, kernel: Array) -> Array:
  """Multiplies `(..., channels)` by `(channels, features)`."""
  contract = (((inputs.ndim - 1,), (0,)), ((), ()))
  return lax.dot_general(
    _rounded(inputs),
    _rounded(kernel),
    contract,
    precision=lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )


def _depthwise(
  inputs: Array, kernel: Array, stride: int, padding: Padding, sides: tuple[int, int]
) -> Array:
  shifts = _shifts(_padded(inputs, padding), kernel.shape[:2], stride, sides)
  products = [
    pixels * kernel[row, column][None, None] for row, column, pixels in shifts
  ]
  return functools.reduce(operator.add, products)


def _gathered(
  inputs: Array, kernel: Array, stride: int, padding: Padding, sides: tuple[int, int]
) -> Array:
  matrix = kernel.reshape(-1, kernel.shape[-1])

  def product(images: Array) -> Array:
    shifts = _shifts(_padded(images, padding), kernel.shape[:2], stride, sides)
    return _dot(jnp.concatenate([pixels for *_, pixels in shifts], axis=-1), matrix)

  bytes_per_image = math.prod(sides) * matrix.shape[0] * inputs.dtype.itemsize
  return _in_chunks(product, inputs, _chunk_size(inputs.shape[0], bytes_per_image))


def _winograd(
  inputs: Array, kernel: Array, padding: Padding, sides: tuple[int, int]
) -> Array:
  """Computes F(2 x 2, 3 x 3): 16 products for four outputs instead of 36.

  Each of the four columns of a tile is one product, batched over the four rows. Sixteen
  separate products run as fast but take twice as long to compile.

  Source: Lavin and Gray 2016, equations 7 and 8.
  """
  batch, height, width, channels = inputs.shape
  features = kernel.shape[-1]
  tile_rows, tile_columns = (-(-side // 2) for side in sides)
  taps = kernel.reshape(9, channels * features)
  weights = [
    _dot(np.einsum("ri,j->rij", _KERNEL_TRANSFORM, column).reshape(4, 9), taps)
    for column in _KERNEL_TRANSFORM
  ]
  # Tiles are 4 x 4 with a stride of 2: tile t reads the pairs of rows t and t + 1.
  (top, _), (left, _) = padding
  bottom = 2 * tile_rows + 2 - height - top
  right = 2 * tile_columns + 2 - width - left

  def convolve(images: Array) -> Array:
    pairs = _padded(images, ((top, bottom), (left, right))).reshape(
      -1, tile_rows + 1, 2, tile_columns + 1, 2, channels
    )
    rows = jnp.stack(
      _transform_tile(
        [pairs[:, row // 2 : row // 2 + tile_rows, row % 2] for row in range(4)]
      )
    )
    columns = _transform_tile(
      [
        rows[..., column // 2 : column // 2 + tile_columns, column % 2, :]
        for column in range(4)
      ]
    )
    products = [
      lax.dot_general(
        _rounded(column.reshape(4, -1, channels)),
        _rounded(weight.reshape(4, channels, features)),
        (((2,), (1,)), ((0,), (0,))),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
      ).reshape(4, -1, tile_rows, tile_columns, features)
      for column, weight in zip(columns, weights, strict=True)
    ]
    outputs = [
      jnp.stack(_transform_product(column), axis=2)
      for column in _transform_product(products)
    ]
    # batch, tile row, row, tile column, column, features
    return jnp.stack(outputs, axis=4).reshape(
      -1, 2 * tile_rows, 2 * tile_columns, features
    )

  bytes_per_image = 16 * tile_rows * tile_columns * channels * inputs.dtype.itemsize
  outputs = _in_chunks(convolve, inputs, _chunk_size(batch, bytes_per_image))
  return outputs[:, : sides[0], : sides[1]]


_KERNEL_TRANSFORM = np.array(
  [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32
)


def _transform_tile(items: Sequence[Array]) -> list[Array]:
  first, second, third, fourth = items
  return [first - third, second + third, third - second, second - fourth]


def _transform_product(items: Sequence[Array] | Array) -> list[Array]:
  first, second, third, fourth = items
  return [first + second + third, second - third - fourth]


def _chunk_size(batch: int, bytes_per_image: int) -> int:
  """Returns the largest divisor of `batch` whose images fit `CHUNK_BYTES`, or 1."""
  max_images = max(1, min(batch, CHUNK_BYTES // bytes_per_image))
  return next(size for size in range(max_images, 0, -1) if batch % size == 0)


def _in_chunks(function: Callable[[Array], Array], inputs: Array, size: int) -> Array:
  """Applies `function` to `size` images at a time."""
  if size == inputs.shape[0]:
    return function(inputs)
  chunks = inputs.reshape(-1, size, *inputs.shape[1:])
  outputs: Array = lax.map(function, chunks)
  return outputs.reshape(-1, *outputs.shape[2:])
