"""Peak memory of `milan-train` over the number of units, of synthetic features.

  python benchmarks/training_memory.py --units 1000 10000 50000

Writes a data set as `milan-features` does, with features of two layers of the packaged
encoder (15 regions) and three captions a unit, as long as people write them, of 500
words, and trains one epoch of all models on it. Prints the largest resident memory of
the process, and its part that no file backs.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, os.fspath(pathlib.Path(__file__).parent))
K = 15
OPTIONS = {
  **{"hidden_size": 64, "embedding_size": 16, "lm_hidden_size": 64, "lm_layers": 1},
  **{"lm_embedding_size": 16, "batch_size": 256, "lm_batch_size": 256, "max_epochs": 1},
  # Programs of equal sizes for any number of units: a step holds the longest caption.
  **{"encoder_layers": "act0,blocks.10", "length": 20, "seed": 0, "word_weight": 2.0},
}


class Synthetic:
  """Random features of many units, made as they are read; like a `FeatureStore`."""

  layers = ("layer",)
  k = K

  def __init__(self, units: int, feature_size: int):
    self._units, self.feature_size = units, feature_size

  def signed_units(self, layer: str) -> list:
    """Returns the units of the layer."""
    from milan_jax._src.records import Unit

    return [Unit(layer, index) for index in range(self._units)]

  def num_regions(self, start: int, stop: int) -> np.ndarray:
    """Returns how many regions of each unit count."""
    return np.full(stop - start, K)

  def read(self, start: int, stop: int) -> np.ndarray:
    """Returns the features of some units."""
    rng = np.random.default_rng(start)
    return rng.random((stop - start, K, self.feature_size), np.float32)


def write(folder: pathlib.Path, units: int) -> None:
  """Writes the data set of some units."""
  import bench_training as bench

  from milan_jax._src.decoding.region_encoder import encoder_params, region_encoder
  from milan_jax._src.options.train import TrainOptions
  from milan_jax._src.store.feature_records import (
    UnitTables,
    records_folder,
    write_records,
  )
  from milan_jax._src.training.trained_encoder import feature_key, trained_encoder

  spec, params = trained_encoder(TrainOptions.of(**OPTIONS).model)
  whole = encoder_params(spec, params)
  size = region_encoder(spec, whole).feature_size
  features = Synthetic(units, size)
  rng = np.random.default_rng(0)
  lengths = np.repeat(
    np.arange(1, 1 + len(bench.NUM_WITH_LENGTH)), bench.NUM_WITH_LENGTH
  )
  letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
  words = ["".join(rng.choice(letters, 6)) for _ in range(500)]
  annotations = {
    unit: [" ".join(rng.choice(words, rng.choice(lengths))) for _ in range(3)]
    for unit in features.signed_units("layer")
  }
  origin = {"left_out": 0, "nothing": [], "sources": {}, "sets": []}
  key = feature_key(spec, whole)
  target = pathlib.Path(records_folder(folder, key))
  target.parent.mkdir(parents=True)
  write_records(target, features, UnitTables(annotations, None, origin), key)  # type: ignore[arg-type]


def train(features: pathlib.Path, workdir: pathlib.Path) -> tuple[float, float, float]:
  """Trains; returns the seconds, the peak of the memory and of its own part, in MB."""
  command = [sys.executable, os.fspath(ROOT / "train.py"), f"--features={features}"]
  command += [f"--workdir={workdir}"]
  command += [f"--{flag}={value}" for flag, value in OPTIONS.items()]
  began = time.perf_counter()
  log = tempfile.TemporaryFile("w+")  # noqa: SIM115
  process = subprocess.Popen(
    command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, stderr=log
  )
  peak, done = 0.0, threading.Event()

  def watch() -> None:
    nonlocal peak
    status = pathlib.Path(f"/proc/{process.pid}/status")
    # `process.poll()` would take the usage from `wait4` below.
    while not done.wait(0.1):
      try:
        lines = status.read_text().splitlines()
      except OSError:
        return
      found = [line.split()[1] for line in lines if line.startswith("RssAnon")]
      peak = max([peak, *(int(value) / 1e3 for value in found)])

  watcher = threading.Thread(target=watch)
  watcher.start()
  _, code, usage = os.wait4(process.pid, 0)
  process.returncode = code
  done.set()
  watcher.join()
  if code:
    log.seek(0)
    raise SystemExit(f"the training failed: {log.read()[-2000:]}")
  return time.perf_counter() - began, usage.ru_maxrss / 1e3, peak


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--units", type=int, nargs="+", default=[1000, 10000, 50000])
  parser.add_argument("--write", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.write:
    write(pathlib.Path(options.write), options.units[0])
    return
  print("| units | features MB | seconds | peak MB | own MB |\n|---|---|---|---|---|")
  for units in options.units:
    with tempfile.TemporaryDirectory() as name:
      folder = pathlib.Path(name)
      # In a process of its own, whose memory is its own, too.
      command = [sys.executable, os.fspath(pathlib.Path(__file__).resolve())]
      command += ["--units", str(units), "--write", os.fspath(folder / "features")]
      subprocess.run(command, check=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
      files = [path for path in (folder / "features").rglob("*") if path.is_file()]
      size = sum(path.stat().st_size for path in files) / 1e6
      seconds, peak, own = train(folder / "features", folder / "run")
      print(
        f"| {units} | {size:.0f} | {seconds:.0f} | {peak:.0f} | {own:.0f} |", flush=True
      )
      shutil.rmtree(folder / "run")


if __name__ == "__main__":
  main()
