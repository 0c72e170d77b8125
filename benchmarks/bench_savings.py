"""What each part of the search saves: it is timed with that part undone.

python benchmarks/bench_savings.py --batch 64 --json savings.json

Random peaked weights of the paper's sizes, rerank with a beam of 50, one core. All
variants take turns in one run; each one's fastest round counts, and all of them find
the same descriptions.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.decoding import program
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.lab.benchmark.machine import use_cores
from milan_jax._src.lab.benchmark.peaked import peaked_release, random_features
from milan_jax._src.lab.benchmark.work import count_work
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.search import advance, prefixes, rows


def every_row_its_own_parent(wanted: advance.Rows) -> advance.Parents:
  indices = jnp.arange(len(wanted.tokens), dtype=jnp.int32)
  return advance.Parents(wanted.parents, wanted.units, indices, wanted.num)


def every_row_its_own_prefix(first, second, num) -> rows.DistinctPairs:
  del second
  indices = jnp.arange(len(first), dtype=jnp.int32)
  return rows.DistinctPairs(indices, indices, num)


def only(size: int) -> tuple[Any, str, Any]:
  packing = dataclasses.replace(rows.CPU_ROWS, sizes=(size,))
  return program, "packing_for", lambda platform: packing


@contextlib.contextmanager
def undone(variant: str) -> Iterator[None]:
  """Undoes one part while a decoder is compiled."""
  patches = {
    "all of it": [],
    "parents not shared": [(advance, "distinct_parents", every_row_its_own_parent)],
    "prefixes not shared": [(prefixes, "distinct_pairs", every_row_its_own_prefix)],
    "chunks of 256 alone": [only(256)],
    "chunks of 32 alone": [only(32)],
  }[variant]
  with contextlib.ExitStack() as stack:
    for module, name, value in patches:
      stack.enter_context(mock.patch.object(module, name, value))
    yield


VARIANTS = (
  "all of it",
  "parents not shared",
  "prefixes not shared",
  "chunks of 256 alone",
  "chunks of 32 alone",
)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--batch", type=int, default=64)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--cores", type=int, default=1)
  parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
  options = parser.parse_args()
  use_cores(options.cores)
  release = peaked_release(vocab_size=5000, hidden_size=512)
  size = release.captioner.feature_size
  features = random_features(options.batch, size, seed=0)
  keys = jax.random.split(jax.random.key(0), options.batch)
  decoders, best, figures = {}, {}, {}
  for variant in VARIANTS:
    with undone(variant):
      decoders[variant] = Decoder(release, Decoding(), batch_size=options.batch)
      decoders[variant].compile(features.shape[1])
    best[variant] = float("inf")
  for _ in range(options.rounds):
    for variant, decoder in decoders.items():
      began = time.perf_counter()
      found, costs = jax.block_until_ready(decoder.start(features, keys))
      best[variant] = min(best[variant], time.perf_counter() - began)
      counted = count_work(
        decoder.weights, costs, units=options.batch, k=features.shape[1]
      )
      figures[variant] = (counted.computed_flop / options.batch / 1e9, found.tokens)
  rows_of_json = []
  for variant, seconds in best.items():
    gflop, tokens = figures[variant]
    np.testing.assert_array_equal(tokens, figures["all of it"][1])
    row = {
      "variant": variant,
      "batch": options.batch,
      "units_per_s": options.batch / seconds,
      "time_to_all_of_it": seconds / best["all of it"],
      "gflop_per_unit": gflop,
    }
    rows_of_json.append(row)
    print(
      f"{variant:>20}: {row['units_per_s']:6.1f} units/s, "
      f"{row['time_to_all_of_it']:.2f} x the time, {gflop:.2f} GFLOP a unit"
    )
  if options.json:
    options.json.write_text(json.dumps(rows_of_json, indent=2) + "\n")


if __name__ == "__main__":
  main()
