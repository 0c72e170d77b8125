"""The mesh of devices over which training and decoding shard their batches."""

from collections.abc import Sequence

import jax


def make_mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
  """Returns a one-dimensional mesh of devices, by default all, with the axis `data`."""
  devices = jax.devices() if devices is None else devices
  axis_types = (jax.sharding.AxisType.Auto,)
  return jax.make_mesh(
    (len(devices),), ("data",), axis_types=axis_types, devices=devices
  )
