"""The word detectors of a release: kept, and refused where they do not fit."""

import dataclasses

import jax
import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.models.word_detectors import WordDetectorSpec
from milan_jax._src.store import release
from tests.store.test_release import (  # noqa: F401
  CONFIDENCE,
  assert_same,
  projecting,
  small,
)


@pytest.fixture(scope="session")
def detecting(projecting):  # noqa: F811
  """The same captioner with detectors of two words, and their evidence."""
  rng = np.random.default_rng(4)
  size = projecting.captioner.feature_size
  shapes = {
    "hidden": {"kernel": (size, 3), "bias": (3,)},
    "output": {"kernel": (3, 2), "bias": (2,)},
  }
  detectors = {
    layer: {name: rng.normal(size=shape).astype("f4") for name, shape in own.items()}
    for layer, own in shapes.items()
  }
  evidence = ("words", *CONFIDENCE.evidence[1:])
  return dataclasses.replace(
    projecting,
    params=projecting.params | {"word_detectors": detectors},
    word_detectors=WordDetectorSpec(("dog", "red"), 3),
    decoding=dataclasses.replace(projecting.decoding, word_weight=2.0),
    confidence=dataclasses.replace(CONFIDENCE, evidence=evidence),
  )


@pytest.mark.parametrize("members", [1, 2])
def test_word_detectors_come_back(detecting, tmp_path, members):
  if members > 1:
    spec = dataclasses.replace(detecting.word_detectors, members=members)
    twice = jax.tree.map(lambda x: np.stack([x, 2 * x]), detecting.params)
    params = detecting.params | {"word_detectors": twice["word_detectors"]}
    decoding = dataclasses.replace(detecting.decoding, coverage=3.0)
    detecting = dataclasses.replace(
      detecting, word_detectors=spec, params=params, decoding=decoding
    )
  release.save_release(detecting, tmp_path)
  back = release.load_release(tmp_path)
  assert_same(back, detecting)
  assert back.word_detectors == detecting.word_detectors
  assert back.decoding == detecting.decoding


def test_word_detectors_that_do_not_fit_are_refused(detecting, projecting):  # noqa: F811
  with pytest.raises(UserError, match=r"word_detectors/output/bias must be \(1,\)"):
    dataclasses.replace(detecting, word_detectors=WordDetectorSpec(("dog",), 3))
  with pytest.raises(UserError, match=r"word_detectors/hidden/bias must be \(4,\)"):
    dataclasses.replace(detecting, word_detectors=WordDetectorSpec(("dog", "red"), 4))
  with pytest.raises(UserError, match=r"word_detectors\.hidden_size must be positive"):
    dataclasses.replace(detecting, word_detectors=WordDetectorSpec(("dog", "red"), 0))
  with pytest.raises(UserError, match=r"the parameters must be of .*, not"):
    dataclasses.replace(
      detecting,
      word_detectors=None,
      confidence=projecting.confidence,
      decoding=projecting.decoding,
    )
  with pytest.raises(UserError, match=r"confidence\.evidence must be without 'words'"):
    dataclasses.replace(projecting, confidence=detecting.confidence)
  with pytest.raises(UserError, match=r"decoding\.word_weight must be 0, as there"):
    dataclasses.replace(projecting, decoding=detecting.decoding)
  covering = dataclasses.replace(projecting.decoding, coverage=2.0)
  with pytest.raises(UserError, match=r"decoding\.coverage must be 0, as there"):
    dataclasses.replace(projecting, decoding=covering)
  two = WordDetectorSpec(("dog", "red"), 3, hidden_layers=2)
  with pytest.raises(UserError, match=r"word_detectors/hidden_2/bias must be \(3,\)"):
    dataclasses.replace(detecting, word_detectors=two)
  deep = WordDetectorSpec(("dog", "red"), 3, hidden_layers=1_000_000)
  with pytest.raises(UserError, match=r"word_detectors\.hidden_layers must be at most"):
    dataclasses.replace(detecting, word_detectors=deep)
  many = WordDetectorSpec(("dog", "red"), 3, members=4)
  with pytest.raises(UserError, match=r"hidden/bias must be \(4, 3\), not"):
    dataclasses.replace(detecting, word_detectors=many)


@pytest.mark.parametrize(
  "words", [("dog", "cat"), ("dog", "dog"), ("", "dog"), ("a", "dog")]
)
def test_detected_words_are_of_the_vocabulary(detecting, words):
  with pytest.raises(UserError, match="must be distinct words of the vocabulary, not"):
    dataclasses.replace(detecting, word_detectors=WordDetectorSpec(words, 3))
