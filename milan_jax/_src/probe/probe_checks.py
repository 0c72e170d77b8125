"""Checks that an object implements the protocol of a probe."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.records import LayerShape

_ATTRIBUTES = ("image_size", "num_devices")
_METHODS = ("layers", "activations")


class ProbeError(UserError):
  """A probe returned something that violates its protocol."""


def missing_members(found: Any) -> list[str]:
  """Names of the members of `Probe` that an object lacks.

  A method inherited from `Probe` itself does nothing, and counts as missing.
  """
  missing = [name for name in _ATTRIBUTES if not hasattr(found, name)]
  for name in _METHODS:
    method = getattr(found, name, None)
    own = getattr(type(found), name, None) is not getattr(Probe, name)
    if not callable(method) or not own:
      missing.append(name)
  return missing


def check_probe(found: Any) -> None:
  """Checks the members of an object to be used as a probe.

  Args:
    found: the object.

  Raises:
    UserError: if it lacks a member, or one has an unexpected value.
  """
  kind = type(found).__name__
  missing = missing_members(found)
  if missing:
    raise UserError(f"{kind} has no {' and no '.join(missing)}: a Probe needs them.")
  size, devices = found.image_size, found.num_devices
  pair = size if isinstance(size, tuple) else (size, size)
  if len(pair) != 2 or not all(map(_is_positive, pair)):
    raise UserError(
      f"{kind}.image_size: expected a positive int, or a tuple (height, width) of two; "
      f"found {size!r}."
    )
  if not _is_positive(devices):
    raise UserError(f"{kind}.num_devices: expected an int >= 1; found {devices!r}.")
  channels = getattr(found, "channels", 3)
  if not _is_positive(channels):
    raise UserError(f"{kind}.channels: expected an int >= 1; found {channels!r}.")
  try:
    shapes = found.layers()
  except UserError:
    raise
  except Exception as error:  # any error of the user's probe
    raise UserError(
      f"{kind}.layers() failed with {type(error).__name__}: {error}."
    ) from error
  _check_shapes(shapes, kind)


def _check_shapes(shapes: Any, kind: str) -> None:
  """Checks the result of `layers()` of a class named `kind`."""
  expected = f"{kind}.layers(): expected a tuple of LayerShape"
  if not isinstance(shapes, tuple):
    raise UserError(f"{expected}; found a {type(shapes).__name__}.")
  names = set()
  for shape in shapes:
    if not isinstance(shape, LayerShape):
      raise UserError(f"{expected}; found a {type(shape).__name__} in it.")
    sizes = (shape.height, shape.width, shape.units)
    if not isinstance(shape.name, str) or not all(map(_is_positive, sizes)):
      raise UserError(
        f"{expected} of a str and positive ints; found {shape.name!r} with height, "
        f"width and units {sizes}."
      )
    if shape.name in names:
      raise UserError(f"{expected} with unique names; found {shape.name} twice.")
    names.add(shape.name)


def check_arrays(
  found: Any, shapes: Mapping[str, LayerShape], layers: tuple[str, ...], batch: int
) -> dict[str, np.ndarray]:
  """Converts a probe's results to arrays of float32, and checks their shapes.

  Args:
    found: the result of its `activations`.
    shapes: the result of its `layers`, by name.
    layers: names of the requested layers.
    batch: size of the batch.

  Raises:
    ProbeError: if a layer is absent, or its array has another shape or has numbers that
      are not real.
  """
  if not isinstance(found, Mapping):
    raise ProbeError(
      "activations(): expected a mapping of layers to arrays; found a "
      f"{type(found).__name__}."
    )
  for array in found.values():
    if isinstance(array, jax.Array):
      array.copy_to_host_async()  # the copies of all layers overlap
  arrays = {}
  for name in layers:
    if name not in found:
      some = ", ".join(map(str, list(found)[:5])) or "nothing"
      raise ProbeError(
        f"Layer {name}: expected an array from activations(); found only {some}."
      )
    arrays[name] = np.asarray(found[name])
    shape = shapes[name]
    expected = (batch, shape.height, shape.width, shape.units)
    if arrays[name].shape != expected:
      raise ProbeError(
        f"Layer {name}: expected an array of shape {expected}, from layers(); found "
        f"{arrays[name].shape}."
      )
    arrays[name] = _as_floats(arrays[name], name)
  return arrays


def _as_floats(array: np.ndarray, layer: str) -> np.ndarray:
  """Converts any real numbers to float32, in which the statistics are."""
  if array.dtype == np.float32:
    return array
  real = (jnp.floating, jnp.integer, jnp.bool_)
  if not any(jnp.issubdtype(array.dtype, kind) for kind in real):
    raise ProbeError(
      f"Layer {layer}: expected an array of real numbers from activations(); found "
      f"{array.dtype}: convert it, such as a complex number to its absolute value."
    )
  with np.errstate(over="ignore"):  # infinite values are counted
    return array.astype(np.float32)


def _is_positive(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and value >= 1
