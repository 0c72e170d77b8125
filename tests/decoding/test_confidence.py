"""Confidence while descriptions are made: what is said, withheld, and passed on."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.api.identity import of_captioner
from milan_jax._src.decoding import confidence
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.decoding.program import DecodedBatch
from milan_jax._src.models import captioner as captioners
from milan_jax._src.models.confidence_model import NO_PATTERN, ConfidenceSpec
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.records import Description, LayerExemplars, Unit
from milan_jax._src.store import release as releases
from milan_jax._src.store.feature_store import FeatureWriter, open_features
from milan_jax._src.text import judge
from milan_jax._src.text.vocabulary import Vocabulary
from milan_jax._src.text.wording import NOTHING_PHRASES
from tests.helpers.tiny_release import WORDS

UNITS, K, POOLED = 7, 4, 32
STOP = Vocabulary(WORDS).stop_id


@functools.cache
def _plain():
  """A captioner of random weights over the first layer of EfficientNet-Lite0."""
  captioner = releases.CaptionerSpec(POOLED, 16, 8, 16, len(WORDS) + 4, 0.0)
  language_model = releases.LanguageModelSpec(12, 8, 1, len(WORDS) + 4, 0.0)
  rng = np.random.default_rng(1)
  params = {}
  for name, module, inputs in (
    (
      "captioner",
      captioners.Captioner(**dataclasses.asdict(captioner)),
      [np.zeros((1, 2, 32))],
    ),
    ("language_model", make_language_model(**dataclasses.asdict(language_model)), []),
  ):
    tokens = np.zeros((1, 2), np.int32)
    made = jax.eval_shape(module.init, jax.random.key(0), *inputs, tokens)["params"]
    params[name] = jax.tree.map(
      lambda leaf: (rng.normal(size=leaf.shape) / 2).astype("f4"), made
    )
  return releases.Release(
    encoder=releases.EncoderSpec(
      *("efficientnet-lite0", ("act0",), (0.5,) * 3, (0.5,) * 3, "a-package")
    ),
    captioner=captioner,
    language_model=language_model,
    vocabulary=WORDS,
    decoding=Decoding("rerank", 6, 5, 0.2, nothing=NOTHING_PHRASES),
    params=params,
  )


def _spec(**changes):
  """Sure of what is likely by itself, the fourth piece of evidence."""
  options = {
    "centers": (0.0,) * 6,
    "scales": (1.0,) * 6,
    "weights": (0.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    "bias": 2.0,
    "threshold": 0.5,
  }
  return ConfidenceSpec(**options | changes)


@pytest.fixture
def store(tmp_path):
  rows = np.zeros((UNITS, K), int)
  dead = np.arange(UNITS) == 5
  layer = LayerExemplars("a", np.arange(UNITS), rows, rows, None, None, dead)
  values = np.random.default_rng(0).normal(size=(UNITS, K, POOLED)).astype("f4")
  with FeatureWriter(tmp_path, [layer], feature_size=POOLED, total=1) as writer:
    for unit in range(UNITS):
      for slot in range(K):
        writer.write(0, unit, slot, values[unit, slot])
    writer.save(1)
  return open_features(tmp_path)


def _decoded(log_probs, lengths=None):
  """Descriptions of so many tokens, all of them the first word."""
  tokens = np.full((len(log_probs), 6), STOP)
  for row, length in enumerate(lengths or [1] * len(log_probs)):
    tokens[row, :length] = 0
  values = np.array(log_probs, np.float32)
  return DecodedBatch(
    tokens, values, values, values - 1, np.full(len(values), 0.5, "f4")
  )


def _descriptions(texts, first=0):
  return [
    Description(Unit("a", first + row), text, 0.0, 0.0, dead=first + row == 5)
    for row, text in enumerate(texts)
  ]


def test_tokens_are_counted_with_their_stop():
  tokens = np.array([[0, 1, STOP, STOP], [STOP] * 4, [0, 1, 2, 3]])
  assert confidence.count_tokens(tokens, STOP).tolist() == [3, 1, 4]


def test_what_is_unsure_or_says_nothing_is_withheld(store):
  release = dataclasses.replace(_plain(), confidence=_spec())
  # Likelihoods a token, of two tokens each: the logits are 2 more.
  logits = [1.0, -1.0, 0.0, 3.0]
  decoded = _decoded([2 * (logit - 2) for logit in logits])
  texts = ["Red things", "Blue dots", "Edges", "I cannot see a pattern"]
  given = _descriptions(texts)
  found = list(confidence.judged(given, decoded, release, store.read(0, 4)))
  expected = 1 / (1 + np.exp(-np.array(logits)))
  np.testing.assert_allclose([entry.confidence for entry in found], expected, 1e-6)
  assert [entry.text for entry in found] == [
    *("Red things", NO_PATTERN, "Edges", NO_PATTERN)
  ]
  assert [entry.guess for entry in found] == [
    *(None, "Blue dots", None, "I cannot see a pattern")
  ]
  for one, other in zip(found, given, strict=True):
    kept = {"text": other.text, "confidence": None, "guess": None}
    assert dataclasses.replace(one, **kept) == other


@pytest.mark.parametrize(
  "text", (*NOTHING_PHRASES, "various kinds of areas", "parts of different pictures")
)
def test_every_way_to_say_nothing_becomes_one(store, text):
  release = dataclasses.replace(_plain(), confidence=_spec(bias=20.0))
  said = _descriptions([text.capitalize()])
  (found,) = confidence.judged(said, _decoded([0.0]), release, store.read(0, 1))
  assert (found.text, found.guess) == (NO_PATTERN, text.capitalize())
  assert judge.judge(found.text, judge.Truth("nothing", negative=True)).refused


def test_a_unit_whose_regions_are_empty_is_not_described(tmp_path):
  """Its masks vanish, so its features are zero: it hardly ever varies."""
  rows = np.zeros((2, K), int)
  layer = LayerExemplars("a", np.arange(2), rows, rows, None, None, rows[:, 0] > 0)
  with FeatureWriter(tmp_path, [layer], feature_size=POOLED, total=1) as writer:
    for slot in range(K):  # unit 0 shows nothing in any region
      writer.write(0, 1, slot, np.ones(POOLED, np.float32))
    writer.save(1)
  release = dataclasses.replace(_plain(), confidence=_spec(bias=20.0))
  said = _descriptions(["Red things", "Blue dots"])
  store = open_features(tmp_path)
  found = list(confidence.judged(said, _decoded([0.0, 0.0]), release, store.read(0, 2)))
  assert [entry.text for entry in found] == [NO_PATTERN, "Blue dots"]
  assert found[0].confidence == 0.0 and found[0].guess == "Red things"


def test_dead_units_have_no_confidence_in_them(store):
  release = dataclasses.replace(_plain(), confidence=_spec(bias=20.0))
  found = list(
    confidence.judged(
      _descriptions(["Red things"] * 2, 4),
      _decoded([0.0, 0.0]),
      release,
      store.read(4, 6),
    )
  )
  assert [entry.dead for entry in found] == [False, True]
  assert [entry.text for entry in found] == ["Red things", NO_PATTERN]
  assert found[0].confidence == pytest.approx(1)
  assert (found[1].confidence, found[1].guess) == (0.0, "Red things")


def test_without_a_measured_confidence_descriptions_pass(store):
  given = _descriptions(["Red things", "I cannot see a pattern"])
  found = confidence.judged(given, _decoded([-9.0, 0.0]), _plain(), store.read(0, 2))
  assert list(found) == given


def test_evidence_comes_from_the_batchs_own_features(store):
  """Agreement is that of the units described, as the captioner sees them."""
  release = _projecting()
  spec = _spec(weights=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0), bias=0.0, threshold=0.0)
  release = dataclasses.replace(release, confidence=spec)
  found = list(
    confidence.judged(
      _descriptions(["Dots"] * 2, 2), _decoded([0.0, 0.0]), release, store.read(2, 4)
    )
  )
  shift, kernel = release.projection
  for entry, features in zip(found, store.read(2, 4), strict=True):
    seen = (features - shift) @ kernel
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    mean = (seen @ seen.T)[~np.eye(K, dtype=bool)].mean()
    assert entry.confidence == pytest.approx(1 / (1 + np.exp(-mean)), abs=1e-5)


def test_the_evidence_needs_the_language_models_scores():
  decoded = _decoded([0.0])._replace(lm_log_probs=None)
  with pytest.raises(ValueError, match="language model"):
    confidence.gather_evidence(_plain(), decoded, np.zeros((1, K, POOLED), "f4"))


def test_confidence_is_known_of_the_releases_own_way_to_decode_only():
  release = dataclasses.replace(_plain(), confidence=_spec())
  own = Decoding("rerank", length=6, beam_size=5, temperature=0.2)
  assert confidence.knows_confidence(release, own)
  assert not confidence.knows_confidence(_plain(), own)
  for change in (
    {"strategy": "beam"},
    {"length": 7},
    {"beam_size": 6},
    {"temperature": 0.3},
    {"consensus": 1.0},
    {"mi": True},
    {"parity": True},
  ):
    other = dataclasses.replace(own, **change)
    assert not confidence.knows_confidence(release, other)
    assert Captioner(release)._release_for(other).confidence is None
  assert Captioner(release)._release_for(own) is release


def test_a_captioners_own_consensus_is_part_of_its_way_to_decode():
  plain = _plain()
  spec = dataclasses.replace(plain.decoding, consensus=0.5)
  release = dataclasses.replace(plain, confidence=_spec(), decoding=spec)
  own = release.decoding
  said = plain.decoding.nothing
  assert own == Decoding("rerank", 6, 5, 0.2, consensus=0.5, nothing=said)
  assert confidence.knows_confidence(release, own)
  for change, known in (
    ({"precision": "bfloat16"}, True),
    ({"consensus": 0.0}, False),
    ({"consensus": 1.0}, False),
  ):
    other = dataclasses.replace(own, **change)
    assert confidence.knows_confidence(release, other) == known


def test_another_confidence_is_another_captioner():
  plain = _plain()
  known = dataclasses.replace(plain, confidence=_spec())
  other = dataclasses.replace(plain, confidence=_spec(threshold=0.25))
  more = dataclasses.replace(
    plain, decoding=dataclasses.replace(plain.decoding, consensus=1.0)
  )
  captioners = (plain, known, other, more)
  digests = {of_captioner(one, None).summary()["sha256"] for one in captioners}
  assert len(digests) == 4


# Projected features.


def _projecting():
  """The tiny captioner behind a projection that turns and shrinks its features."""
  plain = _plain()
  rng = np.random.default_rng(5)
  projection = {
    "shift": rng.normal(size=32).astype("f4"),
    "kernel": rng.normal(size=(32, 32)).astype("f4") / 6,
  }
  return dataclasses.replace(
    plain,
    encoder=dataclasses.replace(plain.encoder, projection=32),
    params=plain.params | {"projection": projection},
  )


def test_decoding_projects_as_numpy_does():
  projecting = _projecting()
  rng = np.random.default_rng(6)
  features = 3 * rng.normal(size=(5, K, 32)).astype("f4")
  shift, kernel = projecting.projection
  projected = ((features - shift) @ kernel).astype("f4")
  keys = jax.random.split(jax.random.key(0), 5)
  decoding = Decoding("greedy", length=6)
  found = Decoder(projecting, decoding, batch_size=8)(features, keys)
  plain = Decoder(_plain(), decoding, batch_size=8)
  expected = plain(projected, keys)
  np.testing.assert_array_equal(found.tokens, expected.tokens)
  for name in ("scores", "log_probs", "lm_log_probs"):
    np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)
  assert not np.allclose(plain(features, keys).log_probs, found.log_probs, atol=1e-3)
