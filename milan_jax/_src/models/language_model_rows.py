"""The language model over packed rows: the numbers of `LanguageModel.step`.

A row is one prefix of descriptions of any units, because the model does not depend on
units. See `captioner_rows` for the savings from fused weights.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from milan_jax._src.models.lstm import apply_gates
from milan_jax._src.models.products import Kernel, KernelByOutputs, dot

# One array per layer.
Layers = tuple[Float[Array, "rows _"], ...]


class LanguageModelWeights(NamedTuple):
  """The fused parameters; see `fuse_language_model_weights`.

  The first layer has a table of `words` instead of an input kernel.
  """

  words: Float[Array, "vocab gates"]
  inputs: tuple[Kernel, ...]
  hiddens: tuple[Kernel, ...]
  biases: tuple[Float[Array, "gates"], ...]
  output: Float[Array, "hidden vocab"]
  output_bias: Float[Array, "vocab"]


class RowState(NamedTuple):
  """State of each layer, one row per prefix."""

  hiddens: Layers
  cells: Layers


class PartialStep(NamedTuple):
  """The next step of each layer, without the input's share of the gates."""

  gates: Layers
  cells: Layers


def fuse_language_model_weights(
  params: Any, dtype: DTypeLike = jnp.float32, *, by_outputs: bool = False
) -> LanguageModelWeights:
  """Multiplies the first input kernel with the embedding of every word.

  Args:
    params: parameters of `LanguageModel`.
    dtype: of the kernels; biases and the table of words stay float32.
    by_outputs: store the kernels of the layers as `KernelByOutputs`.
  """
  params = jax.tree.map(jnp.asarray, params)
  names = sorted(name for name in params if name.startswith("lstm_"))
  layers = [params[f"lstm_{i}"] for i in range(len(names))]
  embedding = params["embedding"]["embedding"]
  stored = KernelByOutputs.of if by_outputs else jnp.asarray
  return LanguageModelWeights(
    words=dot(embedding, layers[0]["input_kernel"]),
    inputs=tuple(stored(layer["input_kernel"].astype(dtype)) for layer in layers[1:]),
    hiddens=tuple(stored(layer["hidden_kernel"].astype(dtype)) for layer in layers),
    biases=tuple(layer["input_bias"] + layer["hidden_bias"] for layer in layers),
    output=params["output"]["kernel"].astype(dtype),
    output_bias=params["output"]["bias"],
  )


@dataclasses.dataclass(frozen=True)
class LanguageModelRows:
  """Steps of the language model; a `search.steps.RowModel`."""

  weights: LanguageModelWeights

  def start(self) -> RowState:
    """Returns the state before the first token, zeros, as one row."""
    zeros = tuple(jnp.zeros((1, kernel.shape[0])) for kernel in self.weights.hiddens)
    return RowState(zeros, zeros)

  def prepare(self, state: RowState, units: Int[Array, "rows"]) -> PartialStep:
    """Multiplies the hidden states; the units are not used."""
    del units
    weights = self.weights
    return PartialStep(
      tuple(
        dot(hidden, kernel) + bias[None]
        for hidden, kernel, bias in zip(
          state.hiddens, weights.hiddens, weights.biases, strict=True
        )
      ),
      state.cells,
    )

  def read(self, partial: PartialStep, tokens: Int[Array, "rows"]) -> RowState:
    """Steps the layers one after another."""
    weights = self.weights
    hiddens: list[Array] = []
    cells: list[Array] = []
    for i, (gates, cell) in enumerate(zip(*partial, strict=True)):
      if i == 0:
        gates = gates + weights.words[tokens]
      else:
        gates = gates + dot(hiddens[-1], weights.inputs[i - 1])
      hidden, cell = apply_gates(gates, cell)
      hiddens.append(hidden)
      cells.append(cell)
    return RowState(tuple(hiddens), tuple(cells))

  def predict(self, state: RowState) -> Float[Array, "rows vocab"]:
    """Returns the logits of the next token."""
    weights = self.weights
    return dot(state.hiddens[-1], weights.output) + weights.output_bias[None]
