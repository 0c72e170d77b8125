"""The mesh of devices over which training and decoding shard their batches."""

from collections.abc import Sequence

import jax

from milan_jax._src.errors import UserError


def make_mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
  """Returns a one-dimensional mesh of devices, by default all, with the axis `data`.

  Raises:
    UserError: `devices` is empty.
  """
  devices = jax.devices() if devices is None else list(devices)
  if not devices:
    raise UserError("devices: expected at least one; None takes all.")
  axis_types = (jax.sharding.AxisType.Auto,)
  return jax.make_mesh(
    (len(devices),), ("data",), axis_types=axis_types, devices=devices
  )
