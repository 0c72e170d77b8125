"""CTranslate2's transformer has the captioner's arithmetic and ends like it."""

import numpy as np
import pytest

from milan_jax._src.lab.benchmark import peaked, peer_decoder

RELEASE = peaked.abstract_release(vocab_size=100, hidden_size=32)


def test_the_papers_sizes_need_equal_arithmetic():
  release = peaked.abstract_release(vocab_size=5000, hidden_size=512)
  # Query, gate, gates; context; words.
  captioner = 512 * (512 + 3904 + 2048) + 3904 * 2048 + 512 * 5000
  assert peer_decoder.multiplications_per_row(release) == captioner
  inner = peer_decoder.inner_size(release)
  decoder = 3 * (6 * 512**2 + 2 * 512 * inner) + 512 * 5000
  assert decoder == pytest.approx(captioner, rel=1e-3)


def test_hypotheses_are_as_long_as_the_captioners():
  pytest.importorskip("ctranslate2")
  decoder = peer_decoder.PeerDecoder(
    RELEASE, strategy="beam", beam_size=5, length=15, cores=1
  )
  tokens, scores = decoder(3)
  assert tokens.shape == (3, 15) and scores.shape == (3,)
  assert (tokens[:, -1] == 97).all() and (tokens >= 0).all() and (tokens < 100).all()
  assert np.isfinite(scores).all() and len(np.unique(tokens, axis=0)) > 1
  lengths = decoder._lengths(decoder._translator, 5)
  assert len(lengths) == 8 * 5
  assert 3 < lengths.mean() < 6.5
