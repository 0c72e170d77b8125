"""Helpers of probes of Flax modules: inference options, and names of outputs."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jaxtyping import Array

_INFERENCE = {
  "train": False,
  "training": False,
  "is_training": False,
  "deterministic": True,
  "inference": True,
  "use_running_average": True,
}


def inference_keywords(function: Callable[..., Any]) -> dict[str, bool]:
  """Keyword arguments that make a function run in inference mode.

  Args:
    function: the model, or its method; `train`, `training`, `is_training`,
      `deterministic`, `inference` and `use_running_average` are recognized.
  """
  keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
  parameters = inspect.signature(function).parameters
  return {
    name: value
    for name, value in _INFERENCE.items()
    if name in parameters and parameters[name].kind in keywords
  }


def named_outputs(name: str, calls: Sequence[Any]) -> Iterator[tuple[str, Array]]:
  """Names the arrays that a module returned.

  The output of a module that was called once has the module's name; several calls are
  named `name#0`, `name#1`. If a call returned several arrays, the first has that name
  and the others an index, `name[1]`; arrays of a dictionary have their key,
  `name[key]`.

  Args:
    name: the module's name.
    calls: the results of its calls, in order.
  """
  for number, output in enumerate(calls):
    call = name if len(calls) == 1 else f"{name}#{number}"
    leaves = jax.tree_util.tree_flatten_with_path(output)[0]
    arrays = [(path, leaf) for path, leaf in leaves if hasattr(leaf, "dtype")]
    for position, (path, leaf) in enumerate(arrays):
      keyed = bool(path) and isinstance(path[0], jax.tree_util.DictKey)
      index = "".join(f"[{_key(part)}]" for part in path)
      yield call + (index if position or keyed else ""), leaf


def _key(part: Any) -> Any:
  for attribute in ("key", "idx", "name"):
    if hasattr(part, attribute):
      return getattr(part, attribute)
  return part
