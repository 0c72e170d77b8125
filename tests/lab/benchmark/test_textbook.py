"""The published way in torch finds what the original found, and what ours finds."""

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.lab.benchmark.textbook import TextbookDecoder
from milan_jax._src.options.decoding import Decoding

STRATEGIES = ("greedy", "beam", "rerank")


@pytest.fixture(scope="module", params=[False, True], ids=["textbook", "hoisted"])
def textbook(request, tiny, outputs):
  """Tokens and scores of each strategy, the published way."""
  decoder = TextbookDecoder(
    tiny, beam_size=50, length=15, temperature=0.2, hoisted=request.param
  )
  return {name: decoder(outputs["features"], name) for name in STRATEGIES}


@pytest.fixture(scope="module")
def ours(tiny, outputs):
  keys = jax.random.split(jax.random.key(0), 8)
  return {
    name: Decoder(tiny, Decoding(name), batch_size=8)(outputs["features"], keys)
    for name in STRATEGIES
  }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_decodes_as_ours_does(textbook, ours, strategy):
  tokens, scores = textbook[strategy]
  np.testing.assert_array_equal(tokens, ours[strategy].tokens)
  np.testing.assert_allclose(scores, ours[strategy].scores, atol=1e-4)


def test_it_decodes_as_the_original_does(textbook, outputs):
  tokens, scores = textbook["beam"]
  expected = outputs["beam50/mi=False/beam_tokens"][:, 0]
  np.testing.assert_array_equal(tokens[:, : expected.shape[1]], expected)
  np.testing.assert_allclose(
    scores, outputs["beam50/mi=False/beam_scores"][:, 0], atol=1e-4
  )
