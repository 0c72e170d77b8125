"""Several processes of one command, as they would run on several hosts."""

import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of XLA, where tests/conftest.py asks for it.
PLAIN_EMITTERS = "--xla_cpu_use_fusion_emitters=false"


def free_port():
  with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    return server.getsockname()[1]


def simulated(devices):
  """XLA_FLAGS of a process with some simulated devices, compiled as here."""
  known = os.environ.get("XLA_FLAGS", "")
  return f"{known} --xla_force_host_platform_device_count={devices}".strip()


def run_together(commands, environment, timeout=240):
  """Runs commands at once; returns their exit codes."""
  processes = [
    subprocess.Popen(command, cwd=ROOT, env=environment) for command in commands
  ]
  try:
    return [process.wait(timeout=timeout) for process in processes]
  finally:
    for process in processes:
      process.kill()


def describe_together(number, *flags, devices=1):
  """Runs `describe.py` as some processes of some devices each; all must succeed."""
  command = [sys.executable, str(ROOT / "describe.py"), *map(str, flags)]
  commands = [command]
  if number > 1:
    shared = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={number}"]
    commands = [[*command, *shared, f"--process_id={i}"] for i in range(number)]
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    # As many threads whatever the devices: with others, XLA adds up in another order.
    "NPROC": "8",
    "XLA_FLAGS": simulated(devices),
  }
  assert run_together(commands, environment) == [0] * number
