"""Images per second of the backbones, in each lowering and in torch.

  python benchmarks/bench_backbones.py resnet18 efficientnet-lite0 --json speeds.json

All contenders take turns in one run, and each one's fastest round counts: the ratios
survive a machine that others use too. `bf16` is the CPU's lowering with products
rounded to bfloat16. Torch, if installed, runs the tests' networks eagerly, and
onnxruntime, if it and onnxscript are, the same networks exported. Weights are random.
On a GPU, JAX's plain lowering and torch run there, in full float32 and in bfloat16
(`bf16`, of the plain lowering), without the CPU's lowering and onnxruntime.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np

from milan_jax._src.lab.benchmark.machine import describe_machine, use_cores
from milan_jax._src.models import lowering
from milan_jax._src.models.backbones import backbone, backbone_names
from milan_jax._src.runs.memory import share_device_memory

ROOT = pathlib.Path(__file__).resolve().parents[1]


def jax_run(
  name: str,
  kind: lowering.Lowering,
  images: np.ndarray,
  rounding: lowering.Rounding = "float32",
) -> Callable:
  one = backbone(name)
  params = one.init(jax.random.key(0))
  layers = (one.layer_names[-1],)
  inputs = jax.numpy.asarray(images)

  def run() -> None:
    with lowering.use_lowering(kind), lowering.use_rounding(rounding):
      jax.block_until_ready(one.apply(params, inputs, layers))

  return run


def torch_network(name: str):
  sys.path.insert(0, str(ROOT))
  from tests.models import torch_networks

  return torch_networks.network(name).eval()


def torch_run(name: str, images: np.ndarray, cores: int) -> Callable | None:
  try:
    import torch
  except ImportError:
    return None
  if cores:
    torch.set_num_threads(cores)
  torch.backends.cudnn.allow_tf32 = False
  on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
  device = "cuda" if on_gpu else "cpu"
  module = torch_network(name).to(device)
  inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)

  def run() -> None:
    with torch.no_grad():
      module(inputs)
    if on_gpu:
      torch.cuda.synchronize()

  return run


def onnx_run(name: str, images: np.ndarray, cores: int) -> Callable | None:
  try:
    import onnxruntime
    import onnxscript  # noqa: F401  (torch exports with it)
    import torch
  except ImportError:
    return None
  inputs = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
  with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/network.onnx"
    module = torch_network(name)
    torch.onnx.export(module, (torch.from_numpy(inputs),), path, dynamo=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(path, options)
  (entry,) = session.get_inputs()
  return lambda: session.run(None, {entry.name: inputs})


def compare(name: str, *, batch: int, size: int, rounds: int, cores: int) -> dict:
  """Images per second of each contender, and seconds of its first call."""
  rng = np.random.default_rng(0)
  images = rng.standard_normal((batch, size, size, 3)).astype(np.float32)
  on_cpu = jax.default_backend() == "cpu"
  runs = {"plain": jax_run(name, "plain", images)}
  if on_cpu:
    runs["cpu"] = jax_run(name, "cpu", images)
  runs["bf16"] = jax_run(name, "cpu" if on_cpu else "plain", images, "bfloat16")
  runs["torch"] = torch_run(name, images, cores)
  runs["onnx"] = onnx_run(name, images, cores) if on_cpu else None
  first, best = {}, {}
  for kind, run in runs.items():
    if run is not None:
      start = time.perf_counter()
      run()
      first[kind] = time.perf_counter() - start
      best[kind] = float("inf")
  for _ in range(rounds):
    for kind in best:
      start = time.perf_counter()
      runs[kind]()
      best[kind] = min(best[kind], time.perf_counter() - start)
  speeds = {kind: batch / seconds for kind, seconds in best.items()}
  return {"name": name, "images_per_second": speeds, "first_call_seconds": first}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("names", nargs="*", default=["efficientnet-lite0", "resnet18"])
  parser.add_argument("--batch", type=int, default=16)
  parser.add_argument("--size", type=int, default=224)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--cores", type=int, default=0, help="cores to use; 0: all")
  parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
  options = parser.parse_args()
  share_device_memory()  # torch uses the GPU, too
  use_cores(options.cores)
  unknown = set(options.names) - set(backbone_names())
  if unknown:
    parser.error(f"unknown {', '.join(unknown)}; known: {', '.join(backbone_names())}")
  results = []
  for name in options.names:
    result = compare(
      name,
      batch=options.batch,
      size=options.size,
      rounds=options.rounds,
      cores=options.cores,
    )
    speeds, first = result["images_per_second"], result["first_call_seconds"]
    text = "  ".join(f"{kind} {speed:.1f}" for kind, speed in speeds.items())
    ours = "cpu" if "cpu" in speeds else "plain"
    ratios = "  ".join(
      f"{ours}/{kind} {speeds[ours] / speed:.2f}"
      for kind, speed in speeds.items()
      if kind != ours
    )
    starts = "  ".join(f"{kind} {seconds:.1f}" for kind, seconds in first.items())
    print(f"{name}: images/s {text} | {ratios} | first call, s: {starts}", flush=True)
    results.append(result)
  if options.json:
    report = {
      "batch": options.batch,
      "size": options.size,
      "machine": describe_machine(),
      "devices": [str(device) for device in jax.devices()],
      "backbones": results,
    }
    options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
  main()
