"""Trains both models on one device, on eight simulated ones, and in two processes.

  python benchmarks/compare_training_devices.py
  python benchmarks/compare_training_devices.py --batches 64 1024 --steps 50

Captions are as long as people write them, in the order and with the reading ahead of
`milan-train`, with dropout. Prints the largest difference of a step's loss from that on
one device, absolute and relative, and of a weight after the last step. Everything runs
on the CPU.
"""

import argparse
import itertools
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, os.fspath(FOLDER))
VOCAB, FEATURES, REGIONS, HIDDEN, EMBEDDING = 500, 96, 5, 64, 32
SETUPS = {"8 devices": (1, 8), "2 processes": (2, 1)}


def train(name: str, batch_size: int, num_steps: int) -> list[np.ndarray]:
  """Trains on the devices of all processes; returns losses and weights."""
  import functools

  import bench_training as bench
  import jax
  import jax.numpy as jnp

  from milan_jax._src.models.captioner import Captioner
  from milan_jax._src.models.language_model import LanguageModel
  from milan_jax._src.runs.mesh import make_mesh
  from milan_jax._src.training import batches, losses, objectives, state, step
  from milan_jax._src.training.read_ahead import read_ahead

  mesh, pad = make_mesh(), VOCAB - 2
  samples = bench.make_samples("real", 11712, batch_size)
  # The words of the benchmark, folded to fewer.
  special = samples.tokens - bench.VOCAB + VOCAB
  tokens = np.where(special < VOCAB - 4, samples.tokens % (VOCAB - 4), special)
  samples = batches.Samples(tokens.astype(np.int32), samples.rows)
  features = np.random.default_rng(0).random(
    (len(samples.rows), REGIONS, FEATURES), np.float32
  )
  words = jnp.zeros((1, 1), jnp.int32)
  model: Any
  if name == "captioner":
    model = Captioner(VOCAB, FEATURES, HIDDEN, EMBEDDING)
    inputs: tuple[Any, ...] = (jnp.asarray(features[:1]), words)
    objective = objectives.captioner_objective(model, pad_id=pad)
    terms = objectives.CAPTIONER_TERMS
  else:
    model = LanguageModel(VOCAB, HIDDEN, EMBEDDING, pad_id=pad)
    inputs, terms = (words,), objectives.LANGUAGE_MODEL_TERMS
    objective = objectives.language_model_objective(model, pad_id=pad)
  params = jax.jit(model.init)(jax.random.key(0), *inputs)["params"]
  optimizer = state.make_optimizer()
  take = step.make_step(objective, optimizer)
  train_state = step.replicate(
    state.start_state(params, optimizer=optimizer, seed=0), mesh
  )
  shape: dict[str, Any] = {"batch_size": batch_size, "pad_id": pad}
  shape["lengths"] = batches.choose_lengths(samples, pad_id=pad)

  def all_batches() -> Any:
    for epoch in itertools.count():
      order = batches.grouped(samples, seed=0, epoch=epoch, **shape)
      split = {**shape, "num_devices": mesh.size}
      positions = batches.choose_positions([order], **split)
      yield from read_ahead(
        functools.partial(batches.batches, positions=positions, **split),
        order,
        batch_size=batch_size,
        gather=(lambda rows: features[rows]) if name == "captioner" else None,
        local_rows=step.local_rows(mesh),
      )

  found = []
  for batch in itertools.islice(all_batches(), num_steps):
    none = step.replicate(losses.no_terms(terms), mesh)
    train_state, at_step = take(train_state, none, step.shard(batch, mesh))
    found.append(float(losses.sum_of_means(at_step)))
  return [np.array(found), *map(np.asarray, jax.tree.leaves(train_state.params))]


def work(arguments: list[str]) -> None:
  """Runs one process; process 0 writes the results of all models and batches."""
  import jax

  path, num_steps, models, sizes, address, processes, number = arguments
  if int(processes) > 1:
    jax.distributed.initialize(
      address, num_processes=int(processes), process_id=int(number)
    )
  found = {
    f"{name} {size}": train(name, int(size), int(num_steps))
    for name in models.split(",")
    for size in sizes.split(",")
  }
  if jax.process_index() == 0:
    flat = {f"{key} {n}": x for key, own in found.items() for n, x in enumerate(own)}
    np.savez(path, devices=jax.device_count(), **flat)


def run(options: argparse.Namespace, processes: int, devices: int) -> dict[str, Any]:
  """Trains in fresh processes; returns losses and weights of each model and batch."""
  with tempfile.TemporaryDirectory() as folder, socket.socket() as server:
    path = os.fspath(pathlib.Path(folder) / "found.npz")
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    server.close()
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, os.fspath(pathlib.Path(__file__).resolve()), "--worker"]
    command += [path, str(options.steps), ",".join(options.models)]
    command += [",".join(map(str, options.batches)), f"127.0.0.1:{port}"]
    workers = [
      subprocess.Popen([*command, str(processes), str(number)], env=environment)
      for number in range(processes)
    ]
    codes = [worker.wait() for worker in workers]
    if any(codes):
      raise SystemExit(f"a process ended with {codes}")
    with np.load(path) as file:
      arrays = dict(file)
  assert arrays.pop("devices") == processes * devices
  found: dict[str, Any] = {}
  for key, array in arrays.items():
    found.setdefault(key.rpartition(" ")[0], []).append(array)
  return found


def main() -> None:
  if sys.argv[1:2] == ["--worker"]:
    work(sys.argv[2:])
    return
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--models", nargs="+", default=["captioner", "language_model"])
  parser.add_argument("--batches", type=int, nargs="+", default=[64, 1024])
  parser.add_argument("--steps", type=int, default=50)
  options = parser.parse_args()
  expected = run(options, 1, 1)
  print("| model, batch | on | steps | loss | relative | weight |\n" + "|---" * 6 + "|")
  for setup, (processes, devices) in SETUPS.items():
    for key, (found, *theirs) in run(options, processes, devices).items():
      losses, *weights = expected[key]
      difference = np.abs(found - losses)
      weight = max(
        float(np.abs(a - b).max()) for a, b in zip(weights, theirs, strict=True)
      )
      print(
        f"| {key} | {setup} | {len(found)} | {difference.max():.1e} | "
        f"{(difference / losses).max():.1e} | {weight:.1e} |",
        flush=True,
      )


if __name__ == "__main__":
  main()
