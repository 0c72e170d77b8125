"""Two epochs of both models, step by step, beside plain torch.

`benchmarks/compare_training_torch.py` does the same on people's annotations.
"""

import pathlib
import sys

import numpy as np
import pytest

from milan_jax._src.training import batches

VOCAB, FEATURES, K, HIDDEN, EMBEDDING = 60, 24, 5, 16, 8
START, STOP, PAD = VOCAB - 4, VOCAB - 3, VOCAB - 2
UNITS, BATCH = 60, 64

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def compare():
  folder = str(pathlib.Path(__file__).parents[2] / "benchmarks")
  sys.path.insert(0, folder)
  try:
    import compare_training_torch
  finally:
    while folder in sys.path:
      sys.path.remove(folder)
  return compare_training_torch


@pytest.fixture(scope="module")
def samples():
  """Three captions of each unit, as long as people write them."""
  rng = np.random.default_rng(0)
  # Quantiles of the tokens of human annotations.
  quantiles = np.array([1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 10, 14, 26])
  lengths = rng.permutation(np.resize(quantiles, 3 * UNITS))
  tokens = np.full((len(lengths), lengths.max() + 2), PAD, np.int32)
  for row, number in zip(tokens, lengths, strict=True):
    row[0], row[number + 1] = START, STOP
    row[1 : number + 1] = rng.integers(0, START, size=number)
  return batches.Samples(tokens, np.repeat(np.arange(UNITS), 3))


@pytest.mark.parametrize("name", ["captioner", "language_model"])
def test_two_epochs_are_those_of_plain_torch(name, compare, samples):
  features = np.random.default_rng(1).random((UNITS, K, FEATURES), np.float32)
  sizes = compare.Sizes(VOCAB, PAD, HIDDEN, EMBEDDING)
  found = compare.train_both(
    name, samples, features, sizes, order="random", batch_size=BATCH, reference=True
  )
  assert len(found.losses) == 2 * 3
  assert max(found.losses) < 1e-6
  # Kernels and biases of all layers, but for one bias.
  assert len(found.weights) == (18 if name == "captioner" else 11)
  assert max(found.weights.values()) < 2e-4
  # Both are as near to the steps in float64.
  assert 0 < max(found.ours) < 1e-6 and 0 < max(found.torchs) < 1e-6
  assert found.ours_weight < 2e-4 and found.torchs_weight < 2e-4
