"""Finds the state dict in a file written by a training script.

A checkpoint is a state dict, or contains one among other entries: counters, an
optimizer, a second set of averaged weights. Its names may begin with the prefix of a
wrapper (`module.`, `model.`). With the model's own names as an argument, the tensors
are returned under those names.
"""

import collections
import json
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.weights import torch_files
from milan_jax._src.weights.pickle_reader import Name, OpaqueObject

StateDict = dict[str, np.ndarray]
Say = Callable[[str], None]

# Substrings of keys that do not hold model weights.
_NOT_WEIGHTS = (
  "optim",
  "sched",
  "scaler",
  "loops",
  "callbacks",
  "rng",
  "hyper_parameters",
)
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "module")
# A wrapper's prefix that is removed if `names` is not given.
_WRAPPER = "module."
# Inserted into names by torch.compile.
_COMPILED = "_orig_mod."
_DEPTH = 3
# A prefix is accepted if at least this fraction of the model's names follow it.
_LEAST_FITTING = 0.5
# The index that the Hugging Face libraries write: it maps tensors to files.
INDEX_SUFFIX = ".index.json"


def read_state_dict(
  path: str | os.PathLike[str],
  names: Collection[str] | None = None,
  *,
  say: Say = lambda line: None,
) -> StateDict:
  """Reads the named tensors of a model.

  If a file has several state dicts, the one whose names fit the model best is read. On
  a tie, averaged weights (a key that contains `ema`) come first, because training
  evaluates them. Omitted names and removed prefixes are reported.

  Args:
    path: a `.safetensors` file, a file written by `torch.save`, the `.index.json` of
      tensors in several such files, or the folder of that index.
    names: the model's own names, if known. A prefix common to all of them is then
      removed, and names without it are omitted. If they are not known, `module.` is
      removed. `_orig_mod.` is always removed.
    say: called with a sentence for each removed prefix or set of omitted names.

  Returns:
    Tensors by name, with their stored dtypes; bfloat16 becomes float32.

  Raises:
    UserError: as for `read_torch_file`, or if the file has no state dict.
  """
  path = pathlib.Path(path)
  whole = _read(path)
  found = list(_state_dicts(whole))
  if not found:
    raise UserError(
      f"expected a state dict in {path}, found {torch_files.say_value(whole)}: save "
      "model.state_dict() itself, or a dict with it under 'state_dict'"
    )
  wanted = set(names or ())
  ranks = [_rank(*one, wanted) for one in found]
  best = max(range(len(found)), key=ranks.__getitem__)
  rivals = [
    _format_key(place)
    for (place, _), rank in zip(found, ranks, strict=True)
    if wanted and rank[0] == ranks[best][0] and place != found[best][0]
  ]
  if rivals:
    say(
      f"{path} holds several sets of weights: reading {_format_key(found[best][0])}, "
      f"ignoring {', '.join(rivals)}. To read another, save it alone"
    )
  return _fitted(_tensors(found[best][1], path), wanted, path, say)


def check_floats(
  state_dict: Mapping[str, np.ndarray], weights: Collection[str], name: str
) -> None:
  """Checks that weights are real floating-point numbers.

  Integers are those of a quantized model, and mean nothing without its scales.

  Args:
    state_dict: arrays by name.
    weights: the names that must have such numbers.
    name: the model's name in messages.

  Raises:
    UserError: if others are found.
  """
  wrong = [
    f"{key} of {array.dtype}"
    for key, array in state_dict.items()
    if key in weights and not np.issubdtype(array.dtype, np.floating)
  ]
  if wrong:
    raise UserError(
      f"--weights do not fit {name}: expected floating-point numbers, found "
      f"{_some(wrong)}, as in the file of a quantized model: save the state dict of "
      "the model in float32."
    )


def _format_key(place: tuple[str, ...]) -> str:
  return ".".join(place) or "the top level of the file"


def _read(path: pathlib.Path) -> Any:
  if path.is_dir():
    indices = sorted(path.glob(f"*{INDEX_SUFFIX}"))
    if not indices:
      raise UserError(
        f"{path} is a folder without a file *{INDEX_SUFFIX}: give the path of the file "
        "of weights"
      )
    path = indices[0]
  if path.name.endswith(INDEX_SUFFIX):
    return _read_sharded(path)
  if path.suffix == ".safetensors":
    return torch_files.read_safetensors(path)
  return torch_files.read_torch_file(path)


def _read_sharded(path: pathlib.Path) -> StateDict:
  """Reads all files that an index lists; they are in the index's folder."""
  try:
    weight_map = json.loads(path.read_bytes())["weight_map"]
    files = dict.fromkeys(weight_map.values())
  except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    raise UserError(f"{path}: expected JSON with a weight_map ({error})") from error
  if not all(
    isinstance(file, str) and pathlib.Path(file).name == file for file in files
  ):
    raise UserError(f"{path}: expected its weight_map to name files in its folder")
  whole: StateDict = {}
  for file in files:
    part = _read(path.parent / file)
    if not isinstance(part, dict):
      raise UserError(f"{path.parent / file} has no named tensors")
    whole |= part
  absent = [name for name in weight_map if name not in whole]
  if absent:
    raise UserError(
      f"{path} lists {len(absent)} tensors that its files lack, such as {absent[0]!r}: "
      "download the files again"
    )
  return whole


def _state_dicts(
  value: Any, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
  """Yields each dict of named tensors inside a value, with the keys that lead to it."""
  if isinstance(value, OpaqueObject):
    value = _module_tensors(value) if place else value
  if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
    return
  if any(isinstance(one, np.ndarray) for one in value.values()):
    yield place, value
  if len(place) < _DEPTH:
    for key, one in value.items():
      if not key.lower().startswith(_NOT_WEIGHTS):
        yield from _state_dicts(one, (*place, key))


def _module_tensors(module: OpaqueObject, prefix: str = "") -> StateDict | None:
  """Returns the state dict of a pickled module; None if it is not a module."""
  state = module.state
  if not isinstance(state, dict) or not {"_parameters", "_modules"} <= state.keys():
    return None
  own = {**state["_parameters"], **(state.get("_buffers") or {})}
  found = {prefix + name: one for name, one in own.items() if one is not None}
  for name, part in state["_modules"].items():
    if isinstance(part, OpaqueObject):
      found |= _module_tensors(part, f"{prefix}{name}.") or {}
  return found


def _rank(
  place: tuple[str, ...], value: Mapping[str, Any], wanted: Collection[str]
) -> tuple[int, bool, bool, int]:
  """Ranks a dict by matching names, averaged weights, a usual key and its tensors."""
  names = _tensor_names(value)
  averaged = bool(wanted) and any("ema" in key.lower() for key in place)
  usual = bool(place) and place[-1] in _USUAL_KEYS
  return _fit(names, wanted).number, averaged, usual, len(names)


def _tensor_names(value: Mapping[str, Any]) -> list[str]:
  return [name for name, one in value.items() if isinstance(one, np.ndarray)]


class _Fit(NamedTuple):
  """The change of prefix that maps a file's names to the model's names.

  Attributes:
    number: number of names that match after the change.
    off: prefix to remove.
    on: prefix to add.
    rivals: other prefixes whose removal matches as many names.
  """

  number: int
  off: str = ""
  on: str = ""
  rivals: tuple[str, ...] = ()


def _fit(names: Collection[str], wanted: Collection[str]) -> _Fit:
  off, on = _prefixes(names, wanted), _prefixes(wanted, names)
  best = max(off.values(), default=0)
  if on and max(on.values()) > best:
    prefix, number = max(on.items(), key=lambda item: item[1])
    return _Fit(number, on=prefix)
  alike = [prefix for prefix, number in off.items() if number == best]
  return _Fit(best, *([alike[0], "", tuple(alike[1:])] if alike else ()))


def _prefixes(names: Collection[str], wanted: Collection[str]) -> dict[str, int]:
  """Counts the prefixes of wanted names in `names`, the shortest first."""
  found: collections.Counter[str] = collections.Counter()
  for name in names:
    parts = name.split(".")
    for number in range(len(parts)):
      if ".".join(parts[number:]) in wanted:
        found["".join(f"{part}." for part in parts[:number])] += 1
  return found


def _tensors(value: Mapping[str, Any], path: pathlib.Path) -> StateDict:
  """Returns the tensors of a state dict without counters and strings."""
  for name, one in value.items():
    if isinstance(one, OpaqueObject | Name):
      raise UserError(
        f"entry {name!r} of {path} is not a tensor but {torch_files.say_value(one)}"
      )
  return {name.replace(_COMPILED, ""): value[name] for name in _tensor_names(value)}


def _fitted(
  tensors: StateDict, wanted: Collection[str], path: pathlib.Path, say: Say
) -> StateDict:
  """Returns the tensors that match wanted names, under those names."""
  fit = _fit(tensors, wanted)
  if not wanted or fit.number < _LEAST_FITTING * len(wanted):
    return _unwrapped(tensors)
  if fit.on:
    say(f"{path}: added the prefix {fit.on!r} to the names")
    return {fit.on + name: tensor for name, tensor in tensors.items()}
  if not fit.off:
    return tensors
  kept = {
    name.removeprefix(fit.off): tensor
    for name, tensor in tensors.items()
    if name.startswith(fit.off)
  }
  left_out = [name for name in tensors if not name.startswith(fit.off)]
  what = f"{path}: {fit.off!r} was taken off the names"
  if fit.rivals:
    what += f" ({', '.join(map(repr, fit.rivals))} would fit as well)"
  if left_out:
    what += f", and {_some(left_out)} left out, which do not begin with it"
  say(what)
  return kept


def _unwrapped(tensors: StateDict) -> StateDict:
  while tensors and all(name.startswith(_WRAPPER) for name in tensors):
    tensors = {name.removeprefix(_WRAPPER): one for name, one in tensors.items()}
  return tensors


def _some(names: list[str]) -> str:
  """Formats the first names of a list and the number of the others."""
  more = f" and {len(names) - 3} more" if len(names) > 3 else ""
  return ", ".join(names[:3]) + more
