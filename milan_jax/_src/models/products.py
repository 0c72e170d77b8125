"""Matrix products: operands of a chosen type, sums in float32."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# A product of bfloat16 matrices with fewer rows is many times slower on a CPU.
MIN_ROWS = 8


def dot(
  rows: Float[Array, "*rows inputs"], kernel: Float[Array, "inputs outputs"]
) -> Float[Array, "*rows outputs"]:
  """Multiplies rows, rounded to the kernel's type, and sums in float32.

  Products of float32 are in full float32, unless the program that is traced runs under
  `jax.default_matmul_precision`: `Decoder` sets it, whatever its caller did.
  """
  *shape, inputs = rows.shape
  num = math.prod(shape)
  if kernel.dtype != jnp.float32 and num < MIN_ROWS:
    flat = jnp.pad(rows.reshape(num, inputs), ((0, MIN_ROWS - num), (0, 0)))
    return dot(flat, kernel)[:num].reshape(*shape, -1)
  return _sum_over(rows, kernel, (len(shape),), (0,))


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
  return _sum_over(cotangents, kernel, (cotangents.ndim - 1,), (1,))


def kernel_gradient(
  rows: Float[Array, "*rows inputs"], cotangents: Float[Array, "*rows outputs"]
) -> Float[Array, "inputs outputs"]:
  """Returns the gradient of the kernel of a product, summed over all rows."""
  axes = tuple(range(rows.ndim - 1))
  return _sum_over(rows, cotangents.astype(rows.dtype), axes, axes)


def _sum_over(
  left: Array, right: Array, left_axes: tuple[int, ...], right_axes: tuple[int, ...]
) -> Array:
  """Contracts axes of two arrays, the left one rounded to the right one's type."""
  config: Any = jax.config  # only newer releases of JAX annotate its values
  chosen = config.jax_default_matmul_precision
  result: Array = jax.lax.dot_general(
    left.astype(right.dtype),
    right,
    ((left_axes, right_axes), ((), ())),
    precision=None if chosen else jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )
  return result
