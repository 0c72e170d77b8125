"""The published way in torch finds what the original found, and what ours finds."""

import functools
import importlib.util

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.lab.benchmark import textbook
from milan_jax._src.lab.benchmark.jax_beam import FlatBeamDecoder
from milan_jax._src.options.decoding import Decoding
from tests.helpers.one_size import one_size

STRATEGIES = ("greedy", "beam", "rerank")


def _unchecked():
  """The module without checks of types, which `torch.compile` cannot trace."""
  spec = importlib.util.spec_from_file_location("unchecked_textbook", textbook.__file__)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _torch(release, strategy, features, kind=textbook.TextbookDecoder, **options):
  decoder = kind(release, beam_size=50, length=15, temperature=0.2, **options)
  return decoder(features, strategy)


def _jax(release, strategy, features):
  decoder = FlatBeamDecoder(
    release, strategy=strategy, beam_size=50, length=15, precision="float32"
  )
  decoder.compile(features)
  return decoder(features)


CONTENDERS = {
  "textbook": functools.partial(_torch, hoisted=False),
  "hoisted": functools.partial(_torch, hoisted=True),
  # The graph is captured and run without generating code, which takes a minute.
  "compiled": functools.partial(
    _torch, kind=_unchecked().TextbookDecoder, hoisted=True, compiler="eager"
  ),
  "jax_beam": _jax,
}


@pytest.fixture(scope="module", params=CONTENDERS)
def found(request, tiny, outputs):
  """Tokens and scores of each strategy, the published way."""
  decode = CONTENDERS[request.param]
  return {name: decode(tiny, name, outputs["features"]) for name in STRATEGIES}


@pytest.fixture(scope="module")
def ours(tiny, outputs):
  keys = jax.random.split(jax.random.key(0), 8)
  with one_size():
    return {
      name: Decoder(tiny, Decoding(name), batch_size=8)(outputs["features"], keys)
      for name in STRATEGIES
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_decodes_as_ours_does(found, ours, strategy):
  tokens, scores = found[strategy]
  np.testing.assert_array_equal(tokens, ours[strategy].tokens)
  np.testing.assert_allclose(scores, ours[strategy].scores, atol=1e-4)


def test_it_decodes_as_the_original_does(found, outputs):
  tokens, scores = found["beam"]
  expected = outputs["beam50/mi=False/beam_tokens"][:, 0]
  np.testing.assert_array_equal(tokens[:, : expected.shape[1]], expected)
  np.testing.assert_allclose(
    scores, outputs["beam50/mi=False/beam_scores"][:, 0], atol=1e-4
  )
