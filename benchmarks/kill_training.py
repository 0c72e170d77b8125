"""Kills trainings at random moments; they must end with the bytes of one not killed.

  python benchmarks/kill_training.py --kills 10

Makes a small folder of annotated exemplars, trains on it once without a kill, and then
again: every start of the command is killed with SIGKILL after a random time, until
`--kills` of them, and resumed by the same command. A run that ends before its kill is
compared, and the next one begins. Prints in which part each kill fell: before the run
began, while the features were computed, or in which epoch of which model.
"""

import argparse
import csv
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNITS, K, SIZE = 120, 5, 64
OPTIONS = {
  **{"encoder_layers": "act0", "hidden_size": 64, "embedding_size": 16},
  **{"lm_hidden_size": 32, "lm_embedding_size": 16, "lm_layers": 2, "batch_size": 8},
  **{"lm_batch_size": 8, "max_epochs": 6, "patience": 6, "checkpoint_every": 7},
  **{"stray_regions": 0.3, "accumulate_steps": 3, "cosine_decay": True},
  **{"word_weight": 2.0, "word_hidden_size": 64},
}
COLORS = ("red", "green", "blue", "dark", "bright", "striped")
THINGS = ("circles", "areas", "edges", "dogs", "windows", "wheels", "tall grass")


def write_exemplars(folder: pathlib.Path) -> None:
  """Writes a layer of random exemplars, each unit with three captions."""
  rng = np.random.default_rng(0)
  (folder / "layer").mkdir(parents=True)
  shape = (UNITS, K, 3, SIZE, SIZE)
  np.save(folder / "layer" / "images.npy", rng.integers(0, 256, shape, np.uint8))
  masks = rng.integers(0, 2, (UNITS, K, 1, SIZE, SIZE), np.uint8)
  np.save(folder / "layer" / "masks.npy", masks)
  with (folder / "annotations.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(("layer", "unit", "summary"))
    for unit in range(UNITS):
      for _ in range(3):
        words = [str(rng.choice(COLORS)), str(rng.choice(THINGS))]
        words += ["and", str(rng.choice(THINGS))] * int(rng.integers(0, 4))
        writer.writerow(("layer", unit, " ".join(words)))


def digests(workdir: pathlib.Path) -> dict[str, str]:
  """Returns the digest of each file of the release."""
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted((workdir / "milan").iterdir())
  }


def where(workdir: pathlib.Path) -> str:
  """Describes how far a run has come."""
  if not (workdir / "config.json").exists():
    return "before the run began"
  if not (workdir / "checkpoints").exists():
    return "features"
  metrics = workdir / "metrics.jsonl"
  lines = metrics.read_text().splitlines() if metrics.exists() else []
  models = ("language model", "captioner", "word detectors")
  done, number = divmod(len(lines), OPTIONS["max_epochs"])
  return f"{models[done]}, epoch {number}" if done < len(models) else "release"


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--kills", type=int, default=10)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    write_exemplars(folder / "set")
    command = [sys.executable, os.fspath(ROOT / "train.py")]
    command += [f"--exemplars={folder / 'set'}"]
    command += [f"--{flag}={value}" for flag, value in OPTIONS.items()]
    environment = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "MILAN_JAX_CACHE": os.fspath(folder / "cache"),
    }

    def start(workdir: pathlib.Path) -> subprocess.Popen[bytes]:
      return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
      )

    expected: dict[str, str] = {}
    seconds = 0.0
    # The second run has its programs in the cache, as those that are killed.
    for workdir in (folder / "first", folder / "second"):
      began = time.perf_counter()
      if start(workdir).wait():
        raise SystemExit("the training without a kill failed")
      seconds = time.perf_counter() - began
      if expected and digests(workdir) != expected:
        raise SystemExit("two trainings without a kill differ")
      expected = digests(workdir)
    print(f"without a kill: {seconds:.0f} s", flush=True)
    rng, workdir = random.Random(options.seed), folder / "killed"
    kills = runs = 0
    while kills < options.kills or workdir.exists():
      process = start(workdir)
      try:
        limit = rng.uniform(0, seconds) if kills < options.kills else None
        code = process.wait(limit)
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        kills += 1
        print(f"kill {kills}, after {limit:.1f} s: {where(workdir)}", flush=True)
        continue
      if code or digests(workdir) != expected:
        raise SystemExit(f"a resumed run ended with {code}, or with other bytes")
      runs += 1
      print(f"run {runs} ended with the same bytes", flush=True)
      shutil.rmtree(workdir)


if __name__ == "__main__":
  main()
