"""The devices, as both training and decoding spread their batches over them."""

import jax


def make_mesh() -> jax.sharding.Mesh:
  """Returns all devices in a row, under the axis name `data`."""
  axis_types = (jax.sharding.AxisType.Auto,)
  return jax.make_mesh((jax.device_count(),), ("data",), axis_types=axis_types)
