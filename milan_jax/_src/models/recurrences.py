"""The recurrences of training, with gradients written by hand.

Autodiff of a loop adds a product of a few rows to each kernel's gradient at every step.
Here the loop back in time only keeps the gradients of the products' results; each
kernel's gradient is one product over all steps and captions after the loop, and on
several devices one sum. Arrays are time-major, so that a step reads adjacent memory.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from milan_jax._src.models.products import (
  dot,
  inner_products,
  kernel_gradient,
  times_transposed,
  weighted_sums,
)


class _Gates(NamedTuple):
  """Activations of a step's gates, in the order of the kernel's columns."""

  write: Float[Array, "*length batch hidden"]
  forget: Float[Array, "*length batch hidden"]
  value: Float[Array, "*length batch hidden"]
  read: Float[Array, "*length batch hidden"]


def _activate(gates: Float[Array, "batch gates"]) -> _Gates:
  write, forget, value, read = jnp.split(gates, 4, axis=-1)
  sigmoid = jax.nn.sigmoid
  return _Gates(sigmoid(write), sigmoid(forget), jnp.tanh(value), sigmoid(read))


def _step_cell(
  gates: _Gates, cell: Float[Array, "batch hidden"]
) -> tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"]]:
  cell = gates.forget * cell + gates.write * gates.value
  return gates.read * jnp.tanh(cell), cell


def _gates_gradient(
  gates: _Gates,
  cell: Float[Array, "batch hidden"],
  previous: Float[Array, "batch hidden"],
  d_hidden: Float[Array, "batch hidden"],
  d_cell: Float[Array, "batch hidden"],
) -> tuple[Float[Array, "batch gates"], Float[Array, "batch hidden"]]:
  """Returns the gradients of the gates before activation, and of the previous cell."""
  squashed = jnp.tanh(cell)
  d_cell = d_cell + d_hidden * gates.read * (1 - squashed**2)
  write, forget, value, read = gates
  d_gates = [
    d_cell * value * write * (1 - write),
    d_cell * previous * forget * (1 - forget),
    d_cell * write * (1 - value**2),
    d_hidden * squashed * read * (1 - read),
  ]
  return jnp.concatenate(d_gates, axis=-1), d_cell * forget


def _before(
  first: Float[Array, "batch hidden"], steps: Float[Array, "length batch hidden"]
) -> Float[Array, "length batch hidden"]:
  """Returns the states before each step, given those after each step."""
  return jnp.concatenate([first[None], steps[:-1]])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def run_lstm(
  projected: Float[Array, "length batch gates"],
  kernel: Float[Array, "hidden gates"],
  dtype: DTypeLike,
) -> Float[Array, "length batch hidden"]:
  """Runs an LSTM layer from a state of zeros; returns the hidden states.

  Args:
    projected: the products of the inputs with the input kernel, plus both biases.
    kernel: the hidden kernel, float32.
    dtype: type of the products' operands.
  """
  return _run_lstm(projected, kernel, dtype)[0]


class _LSTMKept(NamedTuple):
  kernel: Float[Array, "hidden gates"]
  hiddens: Float[Array, "length batch hidden"]
  cells: Float[Array, "length batch hidden"]
  gates: _Gates


def _run_lstm(
  projected: Array, kernel: Array, dtype: DTypeLike
) -> tuple[Array, _LSTMKept]:
  kernel = kernel.astype(dtype)

  def advance(
    state: tuple[Array, Array], projected: Array
  ) -> tuple[tuple[Array, Array], tuple[Array, Array, _Gates]]:
    hidden, cell = state
    gates = _activate(projected + dot(hidden, kernel))
    hidden, cell = _step_cell(gates, cell)
    return (hidden, cell), (hidden, cell, gates)

  zeros = jnp.zeros((projected.shape[1], kernel.shape[0]))
  _, (hiddens, cells, gates) = jax.lax.scan(advance, (zeros, zeros), projected)
  return hiddens, _LSTMKept(kernel, hiddens, cells, gates)


def _lstm_backward(
  dtype: DTypeLike, kept: _LSTMKept, d_hiddens: Array
) -> tuple[Array, Array]:
  kernel, hiddens, cells, gates = kept
  zeros = jnp.zeros_like(hiddens[0])

  def go_back(
    gradient: tuple[Array, Array], step: tuple[Array, Array, Array, _Gates]
  ) -> tuple[tuple[Array, Array], Array]:
    (d_hidden, d_cell), (d_output, cell, previous, gates) = gradient, step
    d_gates, d_cell = _gates_gradient(
      gates, cell, previous, d_hidden + d_output, d_cell
    )
    d_gates = d_gates.astype(dtype)
    return (times_transposed(d_gates, kernel), d_cell), d_gates

  steps = (d_hiddens, cells, _before(zeros, cells), gates)
  _, d_gates = jax.lax.scan(go_back, (zeros, zeros), steps, reverse=True)
  before = _before(zeros, hiddens).astype(dtype)
  return d_gates.astype(jnp.float32), kernel_gradient(before, d_gates)


run_lstm.defvjp(_run_lstm, _lstm_backward)


class AttendingKernels(NamedTuple):
  """Kernels of the captioner's recurrence, float32.

  Attributes:
    state: of the hidden state: to the attention's query, to the context's gate, and to
      the LSTM's gates, side by side.
    state_bias: biases of the query and of the context's gate.
    energy: from the attention's hidden layer to the energy of a region.
    context: of the gated context, to the LSTM's gates.
  """

  state: Float[Array, "hidden columns"]
  state_bias: Float[Array, "biased"]
  energy: Float[Array, "attention"]
  context: Float[Array, "features gates"]


class AttendingInputs(NamedTuple):
  """Inputs of the captioner's recurrence.

  Attributes:
    hidden: the initial hidden state.
    cell: the initial cell state.
    projected: the products of the embedded tokens with the input kernel, plus both
      biases.
    keys: the attention keys of the regions.
  """

  hidden: Float[Array, "batch hidden"]
  cell: Float[Array, "batch hidden"]
  projected: Float[Array, "length batch gates"]
  keys: Float[Array, "batch k attention"]


class _AttendingStep(NamedTuple):
  """What a step computes, of one step or of all.

  Attributes:
    hidden: the hidden state after the step.
    cell: the cell state after the step.
    gates: the LSTM's gates.
    query: the attention's query.
    attention: the weight of each region.
    context: the regions' weighted sum.
    opening: the gate that the context is multiplied by.
  """

  hidden: Float[Array, "*length batch hidden"]
  cell: Float[Array, "*length batch hidden"]
  gates: _Gates
  query: Float[Array, "*length batch attention"]
  attention: Float[Array, "*length batch k"]
  context: Float[Array, "*length batch features"]
  opening: Float[Array, "*length batch features"]


class _AttendingKept(NamedTuple):
  """What the loop back in time reads."""

  features: Float[Array, "batch k features"]
  inputs: AttendingInputs
  kernels: AttendingKernels
  steps: _AttendingStep


class _AttendingGradient(NamedTuple):
  """Gradients of the state before a step, and sums over the steps from it on."""

  hidden: Float[Array, "batch hidden"]
  cell: Float[Array, "batch hidden"]
  keys: Float[Array, "batch k attention"]
  # Summed over the captions after the loop: inside, devices would sum every step.
  energy: Float[Array, "batch attention"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def run_attending_lstm(
  features: Float[Array, "batch k features"],
  inputs: AttendingInputs,
  kernels: AttendingKernels,
  dtype: DTypeLike,
) -> tuple[Float[Array, "length batch hidden"], Float[Array, "length batch k"]]:
  """Runs the captioner's LSTM; returns the hidden states and the attentions.

  The attention's query is the state before the step. The gradient of the features is
  not computed: it is zero.

  Args:
    features: features of each unit's regions.
    inputs: the initial state, the tokens and the keys.
    kernels: the kernels.
    dtype: type of the products' operands.
  """
  return _run_attending(features, inputs, kernels, dtype)[0]


def _run_attending(
  features: Array, inputs: AttendingInputs, kernels: AttendingKernels, dtype: DTypeLike
) -> tuple[tuple[Array, Array], _AttendingKept]:
  state_kernel = kernels.state.astype(dtype)
  context_kernel = kernels.context.astype(dtype)
  parts = _columns(kernels)

  def advance(
    state: tuple[Array, Array], projected: Array
  ) -> tuple[tuple[Array, Array], _AttendingStep]:
    hidden, cell = state
    query, opening, gates = jnp.split(dot(hidden, state_kernel), parts, axis=1)
    query = query + kernels.state_bias[None, : parts[0]]
    opening = jax.nn.sigmoid(opening + kernels.state_bias[None, parts[0] :])
    energies = jnp.tanh(query[:, None] + inputs.keys) @ kernels.energy
    attention = jax.nn.softmax(energies, axis=-1)
    context = weighted_sums(attention, features)
    gates = gates + projected + dot(context * opening, context_kernel)
    activated = _activate(gates)
    hidden, cell = _step_cell(activated, cell)
    step = _AttendingStep(hidden, cell, activated, query, attention, context, opening)
    return (hidden, cell), step

  _, steps = jax.lax.scan(advance, (inputs.hidden, inputs.cell), inputs.projected)
  kept = _AttendingKept(features, inputs, kernels, steps)
  return (steps.hidden, steps.attention), kept


def _columns(kernels: AttendingKernels) -> list[int]:
  """Returns where the state's products with query, gate and LSTM begin, but for 0."""
  attention, features = kernels.energy.shape[0], kernels.context.shape[0]
  return [attention, attention + features]


def _attending_backward(
  dtype: DTypeLike, kept: _AttendingKept, cotangents: tuple[Array, Array]
) -> tuple[None, AttendingInputs, AttendingKernels]:
  features, inputs, kernels, kept_steps = kept
  state_kernel = kernels.state.astype(dtype)
  context_kernel = kernels.context.astype(dtype)
  energy = kernels.energy[None, None]

  def go_back(
    gradient: _AttendingGradient,
    inputs_of_step: tuple[tuple[Array, Array], Array, _AttendingStep],
  ) -> tuple[_AttendingGradient, Array]:
    (d_output, d_attention), previous, step = inputs_of_step
    d_gates, d_cell = _gates_gradient(
      step.gates, step.cell, previous, gradient.hidden + d_output, gradient.cell
    )
    d_gated = times_transposed(d_gates.astype(dtype), context_kernel)
    d_opening = d_gated * step.context * step.opening * (1 - step.opening)
    d_context = d_gated * step.opening
    d_attention = d_attention + inner_products(d_context, features)
    mean = (step.attention * d_attention).sum(-1, keepdims=True)
    d_energies = step.attention * (d_attention - mean)
    squashed = jnp.tanh(step.query[:, None] + inputs.keys)
    d_mixed = d_energies[..., None] * energy * (1 - squashed**2)
    d_state = jnp.concatenate([d_mixed.sum(1), d_opening, d_gates], axis=-1)
    d_state = d_state.astype(dtype)
    before = _AttendingGradient(
      times_transposed(d_state, state_kernel),
      d_cell,
      gradient.keys + d_mixed,
      gradient.energy + (d_energies[..., None] * squashed).sum(1),
    )
    return before, d_state

  zeros = jnp.zeros_like(inputs.hidden)
  last = _AttendingGradient(
    zeros, zeros, jnp.zeros_like(inputs.keys), jnp.zeros_like(inputs.keys[:, 0])
  )
  previous = _before(inputs.cell, kept_steps.cell)
  first, d_states = jax.lax.scan(
    go_back, last, (cotangents, previous, kept_steps), reverse=True
  )
  biased = _columns(kernels)[1]
  d_gates = d_states[..., biased:]
  gated = (kept_steps.context * kept_steps.opening).astype(dtype)
  hiddens = _before(inputs.hidden, kept_steps.hidden).astype(dtype)
  gradients = AttendingKernels(
    state=kernel_gradient(hiddens, d_states),
    state_bias=d_states[..., :biased].sum((0, 1), dtype=jnp.float32),
    energy=first.energy.sum(0),
    context=kernel_gradient(gated, d_gates),
  )
  d_projected = d_gates.astype(jnp.float32)
  d_inputs = AttendingInputs(first.hidden, first.cell, d_projected, first.keys)
  return None, d_inputs, gradients


run_attending_lstm.defvjp(_run_attending, _attending_backward)
