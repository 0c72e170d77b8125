"""Matrix products: operands of a chosen type, sums in float32."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# A product of bfloat16 matrices with fewer rows is many times slower on a CPU.
MIN_ROWS = 8
# XLA's bfloat16 products of fewer than `MANY_ROWS` rows and more than `MANY_INPUTS`
# inputs are slow on a CPU: the inputs are not cut into parts that a cache holds, and a
# rest of a few rows takes longer than a whole block of `ROW_BLOCK` rows.
MANY_ROWS, MANY_INPUTS, ROW_BLOCK = 128, 1024, 12
# XLA's products with a `KernelByOutputs` compute multiples of so many rows.
COLUMN_BLOCK = 16
# XLA's float32 products of a few rows are faster on a CPU if the kernel, or the rows as
# columns, are read in order; from so many rows on it makes no difference.
FEW_ROWS = 128


class KernelByOutputs(NamedTuple):
  """A kernel stored output by output: for products of few rows on a CPU.

  XLA's product reads its left operand once, in order. The right operand is copied, or
  read in columns that cross as many pages of memory as there are inputs. Here the
  kernel is the left operand, and the rows are the right one.

  Attributes:
    array: the transposed kernel.
  """

  array: Float[Array, "outputs inputs"]

  @classmethod
  def of(cls, kernel: Float[Array, "inputs outputs"]) -> "KernelByOutputs":
    """Transposes a kernel."""
    return cls(kernel.T)

  @property
  def shape(self) -> tuple[int, int]:
    """Numbers of inputs and outputs, like the shape of other kernels."""
    outputs, inputs = self.array.shape
    return inputs, outputs

  @property
  def size(self) -> int:
    """Number of values."""
    return int(self.array.size)

  @property
  def dtype(self) -> Any:
    """Type of the values."""
    return self.array.dtype


Kernel = Float[Array, "inputs outputs"] | KernelByOutputs


def stores_by_outputs(platform: str, dtype: DTypeLike) -> bool:
  """Whether products of few rows are faster with a `KernelByOutputs`.

  Args:
    platform: kind of the devices of the products, as `jax.Device.platform`.
    dtype: type of the kernel.
  """
  return platform == "cpu" and dtype == jnp.float32


def dot(
  rows: Float[Array, "*rows inputs"], kernel: Kernel
) -> Float[Array, "*rows outputs"]:
  """Multiplies rows, rounded to the kernel's type, and sums in float32.

  Products of float32 are in full float32, unless the program that is traced runs under
  `jax.default_matmul_precision`: `Decoder` sets it, whatever its caller did.
  """
  *shape, inputs = rows.shape
  num = math.prod(shape)
  if isinstance(kernel, KernelByOutputs):
    return _columns(rows.reshape(num, inputs), kernel).reshape(*shape, -1)
  if kernel.dtype != jnp.float32 and num < MIN_ROWS:
    flat = jnp.pad(rows.reshape(num, inputs), ((0, MIN_ROWS - num), (0, 0)))
    return dot(flat, kernel)[:num].reshape(*shape, -1)
  whole = functools.partial(_sum_over, left_axes=(len(shape),), right_axes=(0,))
  parts = _num_parts(inputs)
  if kernel.dtype == jnp.float32 and 1 < num <= FEW_ROWS:

    def from_columns(rows: Array, kernel: Array) -> Array:
      # Without the barrier XLA multiplies the rows as they are.
      columns = jax.lax.optimization_barrier(rows.reshape(num, inputs).T)
      return _sum_over(columns, kernel, (0,), (0,)).reshape(*shape, -1)

    few: Array = jax.lax.platform_dependent(
      rows, kernel, cpu=from_columns, default=whole
    )
    return few
  if kernel.dtype == jnp.float32 or num >= MANY_ROWS or parts == 1:
    return whole(rows, kernel)

  def in_parts(rows: Array, kernel: Array) -> Array:
    # If the rows were transposed first, XLA would convert both operands to float32.
    rows = rows.reshape(num, parts, inputs // parts)
    kernel = kernel.reshape(parts, inputs // parts, -1)
    sums = _sum_over(rows, kernel, (2,), (1,), ((1,), (0,)))
    return sums.sum(0).reshape(*shape, -1)

  found: Array = jax.lax.platform_dependent(rows, kernel, cpu=in_parts, default=whole)
  return found


def _columns(
  rows: Float[Array, "rows inputs"], kernel: KernelByOutputs
) -> Float[Array, "rows outputs"]:
  """Multiplies the kernel with the rows as columns."""
  num = len(rows)
  padding = -num % COLUMN_BLOCK if num > 1 else 0
  padded = jnp.pad(rows, ((0, padding), (0, 0)))
  columns = _sum_over(kernel.array, padded, (1,), (1,))
  # Without the barrier XLA swaps the operands instead of transposing their product.
  found: Array = jax.lax.optimization_barrier(columns).T[:num]
  return found


def _num_parts(inputs: int) -> int:
  """Returns the fewest equal parts of at most `MANY_INPUTS` inputs, or 1."""
  fewest = -(-inputs // MANY_INPUTS)
  return next((n for n in range(fewest, 2 * fewest) if inputs % n == 0), 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(
  rows: Float[Array, "*rows inputs"],
  kernel: Float[Array, "inputs outputs"],
  dtype: DTypeLike,
) -> Float[Array, "*rows outputs"]:
  """Multiplies rows with a kernel; all three products of training are of `dtype`.

  Autodiff of a product with rounded operands multiplies the float32 gradient of the
  result with a rounded operand, and rounds the kernel's gradient. Here the operands of
  the gradients' products are rounded, and the gradients are float32.

  Args:
    rows: the rows.
    kernel: the kernel, float32.
    dtype: type that the operands are rounded to.
  """
  return dot(rows, kernel.astype(dtype))


def _product_forward(
  rows: Array, kernel: Array, dtype: DTypeLike
) -> tuple[Array, tuple[Array, Array]]:
  rows, kernel = rows.astype(dtype), kernel.astype(dtype)
  return dot(rows, kernel), (rows, kernel)


def _product_backward(
  dtype: DTypeLike, kept: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
  rows, kernel = kept
  cotangent = cotangent.astype(dtype)
  return times_transposed(cotangent, kernel), kernel_gradient(rows, cotangent)


product.defvjp(_product_forward, _product_backward)


def times_transposed(
  cotangents: Float[Array, "*rows outputs"], kernel: Float[Array, "inputs outputs"]
) -> Float[Array, "*rows inputs"]:
  """Returns the gradient of the rows of a product: `cotangents @ kernel.T`."""
  whole = functools.partial(
    _sum_over, left_axes=(cotangents.ndim - 1,), right_axes=(1,)
  )
  *shape, outputs = cotangents.shape
  num = math.prod(shape)
  if kernel.dtype == jnp.float32 and 1 < num <= FEW_ROWS:

    def as_columns(cotangents: Array, kernel: Array) -> Array:
      return dot(cotangents, KernelByOutputs(kernel))

    few: Array = jax.lax.platform_dependent(
      cotangents, kernel, cpu=as_columns, default=whole
    )
    return few
  padding = -num % ROW_BLOCK
  is_slow = padding > 0 and num < MANY_ROWS and outputs > MANY_INPUTS
  if kernel.dtype == jnp.float32 or not is_slow:
    return whole(cotangents, kernel)

  def in_blocks(cotangents: Array, kernel: Array) -> Array:
    flat = cotangents.reshape(num, outputs)
    padded = jnp.pad(flat, ((0, padding), (0, 0)))
    return _sum_over(padded, kernel, (1,), (1,))[:num].reshape(*shape, -1)

  found: Array = jax.lax.platform_dependent(
    cotangents, kernel, cpu=in_blocks, default=whole
  )
  return found


def kernel_gradient(
  rows: Float[Array, "*rows inputs"], cotangents: Float[Array, "*rows outputs"]
) -> Float[Array, "inputs outputs"]:
  """Returns the gradient of the kernel of a product, summed over all rows."""
  axes = tuple(range(rows.ndim - 1))
  return _sum_over(rows, cotangents.astype(rows.dtype), axes, axes)


def weighted_sums(
  weights: Float[Array, "batch k"], values: Float[Array, "batch k features"]
) -> Float[Array, "batch features"]:
  """Returns each unit's sum of its regions' values, weighted."""
  return _sum_over(weights, values, (1,), (1,), ((0,), (0,)))


def inner_products(
  rows: Float[Array, "batch features"], values: Float[Array, "batch k features"]
) -> Float[Array, "batch k"]:
  """Returns the inner products of each unit's row with its regions' values."""
  return _sum_over(rows, values, (1,), (2,), ((0,), (0,)))


def _sum_over(
  left: Array,
  right: Array,
  left_axes: tuple[int, ...],
  right_axes: tuple[int, ...],
  batch_axes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
) -> Array:
  """Contracts axes of two arrays, the left one rounded to the right one's type."""
  config: Any = jax.config  # only newer releases of JAX annotate its values
  chosen = config.jax_default_matmul_precision
  result: Array = jax.lax.dot_general(
    left.astype(right.dtype),
    right,
    ((left_axes, right_axes), batch_axes),
    precision=None if chosen else jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )
  return result
