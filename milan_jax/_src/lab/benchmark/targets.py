"""Devices that a program can be compiled for on a machine without them.

A TPU's compiler is part of libtpu, a GPU's of JAX's plugin for CUDA. Neither needs a
device or a driver.
"""

import importlib.util
import os
from collections.abc import Sequence

import jax
from jax.experimental import topologies

from milan_jax._src.errors import UserError

# Memory bytes and their bandwidth (bytes/s), compute capability 9.0.
# Source: NVIDIA's data sheets of the H100 SXM5 (80 GB HBM3) and the H200 SXM5.
_GPUS = {
  "h100": ("NVIDIA H100 80GB HBM3", 84_942_979_072, 3_352_320_000_000),
  "h200": ("NVIDIA H200", 150_754_820_096, 4_800_000_000_000),
}
# Source: NVIDIA H100 architecture white paper; CUDA C++ programming guide, technical
# specifications of compute capability 9.0.
_HOPPER = """
gpu_device_info {{
  cuda_compute_capability {{ major: 9 minor: 0 }}
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  device_memory_size: {memory}
  memory_bandwidth: {bandwidth}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{name}"
"""


def target_devices(name: str, *, option: str = "--compile_for") -> Sequence[jax.Device]:
  """Returns the devices of a target, which this machine need not have.

  Args:
    name: `h100`, `h200`, or a TPU topology such as `v5e:2x2` or `v5e:16x16`.
    option: the option that names it, for messages.

  Raises:
    UserError: the name is unknown, or the package with its compiler is not installed.
  """
  is_gpu = name in _GPUS
  if not is_gpu and ":" not in name:
    raise UserError(f"{_expected(option)}; found {name!r}.")
  package, extra = ("jax_cuda12_plugin", "cuda") if is_gpu else ("libtpu", "tpu")
  if importlib.util.find_spec(package) is None:
    raise UserError(
      f"{option}={name} needs the package {package}: pip install "
      f"'milan-jax[compilers]', or 'milan-jax[{extra}]' on a machine with the device."
    )
  try:
    if is_gpu:
      model, memory, bandwidth = _GPUS[name]
      config = _HOPPER.format(name=model, memory=memory, bandwidth=bandwidth)
      topology = topologies.get_topology_desc(
        topology_name="", platform="cuda", target_config=config, topology="1x1x1"
      )
    else:
      # Without these libtpu asks the metadata server of a cloud.
      os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
      os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
      topology = topologies.get_topology_desc(topology_name=name, platform="tpu")
  except (RuntimeError, ValueError, NotImplementedError) as error:
    reason = " ".join(str(error).split())
    if "lockfile" in reason:
      raise UserError(
        f"{option}={name}: libtpu serves one process at a time. Wait for the "
        f"other one to end ({reason})."
      ) from error
    raise UserError(f"{_expected(option)}; found {name!r} ({reason}).") from error
  devices: Sequence[jax.Device] = topology.devices
  return devices


def _expected(option: str) -> str:
  return f"{option}: expected {', '.join(_GPUS)}, or a TPU topology such as v5e:2x2"
