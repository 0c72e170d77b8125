"""Captions per second of a training step, at the paper's sizes.

  python benchmarks/bench_training.py --lengths 16 32

A step is what `train.py` takes: loss, gradients and AdamW, with dropout, on random
features and captions that are padded to the length. The fastest round counts. Beside
the wall clock stands the processor time, summed over cores: on a machine that others
use too, it says how fast an idle core would be. `--json` writes a row for each line,
with the device, after each.
"""

import argparse
import json
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.training import batches, losses, objectives, state, step

VOCAB, FEATURES, REGIONS = 5000, 3904, 15
START, STOP, PAD = VOCAB - 4, VOCAB - 3, VOCAB - 2
SIZES = {"captioner": 64, "language_model": 128}


def random_batch(rows: int, length: int, *, with_features: bool) -> batches.Batch:
  """Captions of six tokens on average, the longest as long as asked for."""
  rng = np.random.default_rng(0)
  ids = np.full((rows, length + 1), PAD, np.int32)
  num_words = np.minimum(rng.geometric(1 / 6, size=rows), length - 1)
  num_words[0] = length - 1
  for row, number in zip(ids, num_words, strict=True):
    row[0], row[number + 1] = START, STOP
    row[1 : number + 1] = rng.integers(0, START, size=number)
  features = None
  if with_features:
    features = rng.random((rows, REGIONS, FEATURES), np.float32)
  arrays = (ids[:, :-1], ids[:, 1:], np.ones(rows, np.float32), features)
  return jax.tree.map(jnp.asarray, batches.Batch(*arrays))


def measure(name: str, rows: int, length: int, rounds: int) -> dict[str, Any]:
  batch = random_batch(rows, length, with_features=name == "captioner")
  tokens = jnp.zeros((1, 1), jnp.int32)
  if name == "captioner":
    model = Captioner(VOCAB, FEATURES)
    objective = objectives.captioner_objective(model, pad_id=PAD)
    terms = losses.no_terms(objectives.CAPTIONER_TERMS)
    inputs = (batch.features[:1], tokens)
  else:
    model = LanguageModel(VOCAB, pad_id=PAD)
    objective = objectives.language_model_objective(model, pad_id=PAD)
    terms = losses.no_terms(objectives.LANGUAGE_MODEL_TERMS)
    inputs = (tokens,)
  params = jax.jit(model.init)(jax.random.key(0), *inputs)["params"]
  optimizer = state.make_optimizer()
  train_state = state.start_state(params, optimizer=optimizer, seed=0)
  take = step.make_step(objective, optimizer)
  wall, processor = [], []
  for _ in range(rounds + 1):
    began = time.perf_counter(), time.process_time()
    train_state, terms = jax.block_until_ready(take(train_state, terms, batch))
    wall.append(time.perf_counter() - began[0])
    processor.append(time.process_time() - began[1])
  fastest, least = min(wall[1:]), min(processor[1:])
  return {
    "model": name,
    "batch": rows,
    "length": length,
    "captions_per_s": rows / fastest,
    "captions_per_core_second": rows / least,
    "compile_s": wall[0] - fastest,
    "device": jax.devices()[0].device_kind,
    "jax": jax.__version__,
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32])
  parser.add_argument("--rounds", type=int, default=8)
  parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
  parser.add_argument("--batch", type=int, help="for all models; default: 64 and 128")
  parser.add_argument("--json")
  options = parser.parse_args()
  found = []
  print("| model | batch | padded length | captions/s | per core second | compiling |")
  print("|---|---|---|---|---|---|")
  for name in options.models:
    for length in options.lengths:
      row = measure(name, options.batch or SIZES[name], length, options.rounds)
      print(
        "| {model} | {batch} | {length} | {captions_per_s:.0f} "
        "| {captions_per_core_second:.0f} | {compile_s:.0f} s |".format(**row),
        flush=True,
      )
      found.append(row)
      if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
  main()
