"""The devices, as both training and decoding spread their batches over them."""

from collections.abc import Sequence

import jax


def make_mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
  """Returns devices in a row, all of them by default, under the axis name `data`."""
  devices = jax.devices() if devices is None else devices
  axis_types = (jax.sharding.AxisType.Auto,)
  return jax.make_mesh(
    (len(devices),), ("data",), axis_types=axis_types, devices=devices
  )
