"""An LSTM cell with torch's parametrization.

Flax's cells have one bias. The original has two, and its optimizer updates each of
them, so both are needed to reproduce its training steps.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from milan_jax._src.models.initializers import uniform_fan_in

Carry = tuple[Float[Array, "... hidden"], Float[Array, "... hidden"]]


def apply_gates(
  gates: Float[Array, "... gates"], cell: Float[Array, "... hidden"]
) -> Carry:
  """Returns hidden and cell state; gates are ordered input, forget, cell, output."""
  write, forget, value, read = jnp.split(gates, 4, axis=-1)
  cell = nn.sigmoid(forget) * cell + nn.sigmoid(write) * jnp.tanh(value)
  return nn.sigmoid(read) * jnp.tanh(cell), cell


class LSTMCell(nn.Module):
  """One LSTM layer; gates are ordered input, forget, cell, output.

  Attributes:
    input_size: size of an input.
    hidden_size: size of the hidden and the cell state.
  """

  input_size: int
  hidden_size: int

  def setup(self) -> None:
    init = uniform_fan_in(self.hidden_size)
    gates = 4 * self.hidden_size
    self.input_kernel = self.param("input_kernel", init, (self.input_size, gates))
    self.hidden_kernel = self.param("hidden_kernel", init, (self.hidden_size, gates))
    self.input_bias = self.param("input_bias", init, (gates,))
    self.hidden_bias = self.param("hidden_bias", init, (gates,))

  def project(self, inputs: Float[Array, "... part"]) -> Float[Array, "... gates"]:
    """Multiplies the input, or its first part, by its rows of the kernel.

    The product of an input with several parts is a sum of products, so a part that is
    known in advance can be multiplied for many steps at once.
    """
    return inputs @ self.input_kernel[: inputs.shape[-1]]

  def __call__(self, carry: Carry, projected: Float[Array, "... gates"]) -> Carry:
    """Steps once.

    Args:
      carry: hidden and cell state.
      projected: the product of the whole input with the input kernel.
    """
    hidden, cell = carry
    bias = self.input_bias + self.hidden_bias
    gates = projected + hidden @ self.hidden_kernel
    gates = gates + jnp.broadcast_to(bias, gates.shape)
    return apply_gates(gates, cell)
