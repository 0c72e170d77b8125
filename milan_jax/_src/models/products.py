"""Matrix products of decoding: operands as the weights are, sums in float32."""

import math
from typing import Any

import jax
import jax.numpy as jnp
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
  config: Any = jax.config  # only newer releases of JAX annotate its values
  chosen = config.jax_default_matmul_precision
  product: Array = jax.lax.dot_general(
    rows.astype(kernel.dtype),
    kernel,
    (((len(shape),), (0,)), ((), ())),
    precision=None if chosen else jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )
  return product
