"""The published way in torch finds what the original found, and what ours finds."""

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.lab.benchmark.textbook import TextbookDecoder
from milan_jax._src.options.decoding import Decoding

STOP = 425


def _textbook(tiny, hoisted, beam_size=50):
  return TextbookDecoder(
    tiny, beam_size=beam_size, length=15, temperature=0.2, hoisted=hoisted
  )


@pytest.mark.parametrize("hoisted", [False, True], ids=["textbook", "hoisted"])
@pytest.mark.parametrize("strategy", ["greedy", "beam", "rerank"])
def test_it_decodes_as_ours_does(tiny, outputs, strategy, hoisted):
  features = outputs["features"]
  tokens, scores = _textbook(tiny, hoisted)(features, strategy)
  decoder = Decoder(tiny, Decoding(strategy), batch_size=8)
  ours = decoder(features, jax.random.split(jax.random.key(0), 8))
  np.testing.assert_array_equal(tokens, ours.tokens)
  np.testing.assert_allclose(scores, ours.scores, atol=1e-4)


@pytest.mark.parametrize("hoisted", [False, True], ids=["textbook", "hoisted"])
def test_it_decodes_as_the_original_does(tiny, outputs, hoisted):
  tokens, scores = _textbook(tiny, hoisted)(outputs["features"], "beam")
  expected = outputs["beam50/mi=False/beam_tokens"][:, 0]
  np.testing.assert_array_equal(tokens[:, : expected.shape[1]], expected)
  np.testing.assert_allclose(
    scores, outputs["beam50/mi=False/beam_scores"][:, 0], atol=1e-4
  )
