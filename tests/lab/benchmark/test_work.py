"""Counts of arithmetic against a count by hand."""

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.lab.benchmark.work import count_work
from milan_jax._src.options.decoding import Decoding

# Sizes of the reference's tiny captioner.
FEATURES, HIDDEN, VOCAB, K = 1024, 64, 428, 6
LM_HIDDEN = 48


def _count(tiny, outputs, strategy):
  decoder = Decoder(tiny, Decoding(strategy, beam_size=5), batch_size=8)
  features = outputs["features"]
  decoded, costs = decoder.start(features, jax.random.split(jax.random.key(0), 8))
  return decoded, costs, count_work(decoder.weights, costs, units=8, k=K)


def test_greedy_takes_one_row_a_token(tiny, outputs):
  decoded, costs, counted = _count(tiny, outputs, "greedy")
  stops = np.asarray(decoded.tokens) == 425
  lengths = np.where(stops.any(1), stops.argmax(1) + 1, 15)
  rows = int(lengths.sum())
  assert np.asarray(costs.captioner.needed).sum(0).tolist() == [rows] * 3
  per_row = HIDDEN * (HIDDEN + FEATURES + 4 * HIDDEN)  # query, gate, hidden kernel
  per_row += FEATURES * 4 * HIDDEN + HIDDEN * VOCAB
  captioner = 8 * (K * FEATURES * HIDDEN + FEATURES * 2 * HIDDEN) + rows * per_row
  # The language model scores the same tokens, each distinct prefix once.
  prefixes = {
    tuple(t[:n])
    for t, length in zip(_lists(decoded), lengths, strict=True)
    for n in range(length)
  }
  # What is prepared is the parents of those: the start, and all prefixes that go on.
  parents = {p[:-1] for p in prefixes if p} | {None}
  assert np.asarray(costs.language_model.needed).sum(0).tolist() == [
    len(parents),
    len(prefixes),
    len(prefixes),
  ]
  lm = len(parents) * 2 * LM_HIDDEN * 4 * LM_HIDDEN
  lm += len(prefixes) * (LM_HIDDEN * 4 * LM_HIDDEN + LM_HIDDEN * VOCAB)
  assert counted.needed_flop == pytest.approx(2 * (captioner + lm))
  assert counted.computed_flop >= counted.needed_flop


def _lists(decoded):
  return np.asarray(decoded.tokens).tolist()


def test_bytes_hold_the_weights_of_every_chunk(tiny, outputs):
  _, costs, counted = _count(tiny, outputs, "rerank")
  chunks = np.asarray(costs.captioner.chunks).sum(0)
  weights = 4 * chunks[0] * (HIDDEN * (5 * HIDDEN + FEATURES) + FEATURES * 4 * HIDDEN)
  weights += 4 * chunks[2] * HIDDEN * VOCAB
  assert weights < counted.moved_bytes < 20 * weights
