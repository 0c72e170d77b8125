"""The official checkpoint's names of the parameters, in both directions.

A kernel is torch's weight transposed; other parameters are equal.
"""

from collections.abc import Mapping

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from milan_jax._src.errors import UserError
from milan_jax._src.store.release import Params

StateDict = dict[str, np.ndarray]

_DENSE = {"kernel": "weight", "bias": "bias"}
_LSTM = {
  "input_kernel": "weight_ih",
  "hidden_kernel": "weight_hh",
  "input_bias": "bias_ih",
  "hidden_bias": "bias_hh",
}
_CAPTIONER_DENSE = {
  "init_hidden": "init_h.0",
  "init_cell": "init_c.0",
  "attention/query": "attend.query_to_hidden",
  "attention/key": "attend.key_to_hidden",
  "attention/output": "attend.output.0",
  "gate": "feature_gate.0",
  "output": "output.1",
}
_CAPTIONER = {
  "embedding/embedding": "embedding.weight",
  **{
    f"{ours}/{leaf}": f"{theirs}.{name}"
    for ours, theirs in _CAPTIONER_DENSE.items()
    for leaf, name in _DENSE.items()
  },
  **{f"lstm/{leaf}": f"lstm.{name}" for leaf, name in _LSTM.items()},
}


def captioner_params(state: Mapping[str, np.ndarray]) -> Params:
  """Converts the captioner's state dict to parameters.

  Raises:
    UserError: if a parameter is missing or unknown.
  """
  return _params(state, _CAPTIONER, "captioner")


def captioner_state(params: Params) -> StateDict:
  """Converts the captioner's parameters to the state dict that it was read from."""
  return _state(params, _CAPTIONER)


def language_model_params(state: Mapping[str, np.ndarray], num_layers: int) -> Params:
  """Converts the language model's state dict like `captioner_params`."""
  return _params(state, _language_model(num_layers), "language model")


def language_model_state(params: Params, num_layers: int) -> StateDict:
  """Converts the language model's parameters like `captioner_state`."""
  return _state(params, _language_model(num_layers))


def _language_model(num_layers: int) -> dict[str, str]:
  return {
    "embedding/embedding": "embedding.weight",
    **{
      f"lstm_{layer}/{leaf}": f"lstm.{name}_l{layer}"
      for layer in range(num_layers)
      for leaf, name in _LSTM.items()
    },
    **{f"output/{leaf}": f"output.0.{name}" for leaf, name in _DENSE.items()},
  }


def _params(
  state: Mapping[str, np.ndarray], names: Mapping[str, str], part: str
) -> Params:
  missing = [theirs for theirs in names.values() if theirs not in state]
  if missing:
    raise UserError(
      f"its state dict lacks {missing[0]!r}: the checkpoint is incomplete"
    )
  unknown = sorted(state.keys() - set(names.values()))
  if unknown:
    raise UserError(f"its {part} has unknown parameters: {unknown[:5]}")
  params: Params = unflatten_dict(
    {ours: _transposed(ours, state[theirs]) for ours, theirs in names.items()}, sep="/"
  )
  return params


def _state(params: Params, names: Mapping[str, str]) -> StateDict:
  found = flatten_dict(params, sep="/")
  return {
    theirs: _transposed(ours, np.asarray(found[ours])) for ours, theirs in names.items()
  }


def _transposed(ours: str, array: np.ndarray) -> np.ndarray:
  return array.T if ours.endswith("kernel") else array
