"""Converts a torch state dict, read as NumPy arrays, to a backbone's parameters."""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from milan_jax._src.errors import UserError
from milan_jax._src.models.backbones import registry

_LEAVES = {
  "kernel": "weight",
  "scale": "weight",
  "bias": "bias",
  "mean": "running_mean",
  "var": "running_var",
}
# In the weights of these networks, the names of all modules start with an underscore.
_UNDERSCORED = "efficientnet-lite"
_IGNORED = "num_batches_tracked"
# Transposes torch's kernels, by number of axes: OIHW to HWIO, (out, in) to (in, out).
_TRANSPOSED = {4: (2, 3, 1, 0), 2: (1, 0)}


def weight_names(name: str) -> tuple[str, ...]:
  """Returns the names of a backbone's weights in a torch state dict.

  The classifier's weights are included.

  Raises:
    UserError: if the backbone is unknown.
  """
  return tuple(_expected(name, {}, head=True))


def has_head(name: str, state_dict: Mapping[str, Any]) -> bool:
  """Returns whether a state dict has weights of a backbone's classifier."""
  return any(_in_head(name, key) for key in _without_prefix(state_dict))


def params_from_state_dict(
  name: str, state_dict: Mapping[str, np.ndarray], *, head: bool = True
) -> registry.Params:
  """Converts a torch state dict to a backbone's parameters, in float32.

  Keys are those of torchvision, or of the released package for efficientnet-lite. All
  of them may start with `module.`, as in a data-parallel network. The entries
  `num_batches_tracked` are ignored. The classifier may have any number of classes.

  Args:
    name: the backbone's name.
    state_dict: arrays of any floating type.
    head: whether to read the classifier; if false, its layers cannot be computed.

  Raises:
    UserError: if the backbone is unknown, a key is missing or unexpected, or a shape is
      wrong.

  Example:
    >>> params = milan_jax.params_from_state_dict("resnet18", state_dict)
    >>> sorted(params)[:2]
    ['bn1', 'conv1']
  """
  found = {
    key: np.asarray(value)
    for key, value in _without_prefix(state_dict).items()
    if key.rsplit(".", 1)[-1] != _IGNORED
  }
  if not head:
    found = {key: value for key, value in found.items() if not _in_head(name, key)}
  expected = _expected(name, found, head=head)
  _check(name, {key: value.shape for key, value in found.items()}, expected, head=head)
  leaves = {}
  for key, (path, _) in expected.items():
    value = found[key]
    if path[-1] == "kernel":
      value = value.transpose(_TRANSPOSED[value.ndim])
    leaves[path] = jnp.asarray(value, jnp.float32)
  params: registry.Params = traverse_util.unflatten_dict(leaves)
  return params


def state_dict_from_params(
  name: str, params: registry.Params, *, num_classes: int = 1000
) -> dict[str, np.ndarray]:
  """Converts a backbone's parameters to a torch state dict; the inverse of reading.

  A classifier that the parameters lack is zero. The counters `num_batches_tracked`,
  which parameters never have, are zero, too.

  Args:
    name: the backbone's name.
    params: parameters in any floating type.
    num_classes: number of classes of a missing classifier.

  Raises:
    UserError: if the backbone is unknown.
  """
  leaves = traverse_util.flatten_dict(params)
  logits = _torch_name(name, registry.backbone(name).logits.split("."))
  classes = {f"{logits}.bias": np.zeros(num_classes)}
  state_dict = {}
  for key, (path, shape) in _expected(name, classes, head=True).items():
    if path in leaves:
      value = np.asarray(leaves[path])
      if path[-1] == "kernel":
        value = value.transpose(np.argsort(_TRANSPOSED[value.ndim]))
    else:
      value = np.zeros(shape, np.float32)
    state_dict[key] = value
    if path[-1] == "var":
      counter = key.removesuffix(_LEAVES["var"]) + _IGNORED
      state_dict[counter] = np.zeros((), np.int64)
  return state_dict


def _without_prefix(state_dict: Mapping[str, Any]) -> dict[str, Any]:
  prefix = "module."
  if state_dict and all(key.startswith(prefix) for key in state_dict):
    return {key.removeprefix(prefix): value for key, value in state_dict.items()}
  return dict(state_dict)


def _torch_name(name: str, path: Collection[str]) -> str:
  """Returns the dotted name of a module in the state dict."""
  if name.startswith(_UNDERSCORED):
    path = [part if part.isdigit() else f"_{part}" for part in path]
  return ".".join(path)


def _in_head(name: str, key: str) -> bool:
  return key.split(".")[0] == _torch_name(name, [registry.backbone(name).head])


def _expected(
  name: str, found: Mapping[str, np.ndarray], *, head: bool
) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
  """Returns the path in the parameters and torch's shape for each torch key."""
  backbone = registry.backbone(name)
  module = backbone.module
  bias = found.get(f"{_torch_name(name, backbone.logits.split('.'))}.bias")
  if not head:
    module = module.clone(num_classes=None)
  elif bias is not None and bias.ndim == 1:
    module = module.clone(num_classes=bias.shape[0])
  tree = registry.parameter_shapes(module, backbone.preprocessing.crop)
  expected = {}
  for path, leaf in traverse_util.flatten_dict(tree).items():
    shape = leaf.shape
    if path[-1] == "kernel":
      shape = tuple(shape[axis] for axis in np.argsort(_TRANSPOSED[len(shape)]))
    key = f"{_torch_name(name, path[:-1])}.{_LEAVES[path[-1]]}"
    expected[key] = (path, shape)
  return expected


def _check(
  name: str,
  found: Mapping[str, tuple[int, ...]],
  expected: Mapping[str, tuple[Any, tuple[int, ...]]],
  *,
  head: bool,
) -> None:
  missing = [key for key in expected if key not in found]
  unexpected = [key for key in found if key not in expected]
  wrong = [
    f"{key} ({found[key]} for {shape})"
    for key, (_, shape) in expected.items()
    if key in found and found[key] != shape
  ]
  if not missing and not unexpected and not wrong:
    return
  faults = [
    f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
    for what, keys in (
      ("keys missing", missing),
      ("keys unexpected", unexpected),
      ("shapes wrong", wrong),
    )
    if keys
  ]
  if head and not unexpected and not wrong and all(_in_head(name, k) for k in missing):
    advice = "the classifier is missing: use weights that have one"
  else:
    advice = _guess(name, found, head=head)
  raise UserError(f"These are not weights of {name}: {', '.join(faults)}; {advice}.")


def _guess(name: str, found: Mapping[str, tuple[int, ...]], *, head: bool) -> str:
  """Names the backbone whose shapes these are, if there is one."""
  arrays = {key: np.broadcast_to(np.float32(0), shape) for key, shape in found.items()}
  for other in registry.backbone_names():
    kept = {key: value for key, value in arrays.items() if not _in_head(other, key)}
    shapes = {
      key: shape for key, (_, shape) in _expected(other, kept, head=False).items()
    }
    if other != name and shapes == {key: value.shape for key, value in kept.items()}:
      return f"they look like those of {other}"
  return "they look like those of another architecture"
