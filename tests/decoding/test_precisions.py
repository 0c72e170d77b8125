"""Descriptions in each precision against the original's, on the device that is here."""

import dataclasses

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.options.decoding import PRECISIONS
from milan_jax._src.options.describe import DecodingOptions
from tests.helpers.devices import NATS, SAME

STOP = 425


def _up_to_stop(tokens):
  tokens = [list(map(int, row)) for row in tokens]
  return [row[: row.index(STOP)] if STOP in row else row for row in tokens]


@pytest.mark.device
@pytest.mark.parametrize("precision", PRECISIONS)
def test_rerank_is_the_originals(tiny, outputs, precision):
  options = DecodingOptions(strategy="rerank", beam_size=50, parity=True)
  decoding = dataclasses.replace(
    options.resolve(tiny.decoding, language_model=True), precision=precision
  )
  decoder = Decoder(tiny, decoding, batch_size=8)
  found = decoder(outputs["features"], jax.random.split(jax.random.key(0), 8))
  pairs = zip(
    _up_to_stop(found.tokens), _up_to_stop(outputs["rerank50/tokens"]), strict=True
  )
  same = np.array([one == other for one, other in pairs])
  assert same.mean() >= SAME[precision]
  differences = np.abs(found.scores - outputs["rerank50/scores"])[same]
  assert differences.max() < NATS[precision]
  print(f"{precision}: {same.mean():.0%} the same, within {differences.max():.1e}")
