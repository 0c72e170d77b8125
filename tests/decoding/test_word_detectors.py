"""Word detectors in the search, and as evidence, against brute force."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.decoding.confidence import gather_evidence
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.errors import UserError
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.word_detectors import WordDetectors, WordDetectorSpec
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.text.content_words import content_stems
from milan_jax._src.text.wording import singular
from tests.helpers.devices import tolerance
from tests.helpers.one_size import one_size

STOP = 425


def _up_to_stop(tokens):
  tokens = [list(map(int, row)) for row in tokens]
  return [row[: row.index(STOP)] if STOP in row else row for row in tokens]


def _with_detectors(tiny, *, seed=0):
  """The tiny release with random detectors of a third of its content words."""
  stems = sorted({stem for stem in content_stems(tiny.vocabulary) if stem})[::3]
  rng = np.random.default_rng(seed)
  model = WordDetectors(len(stems), 16)
  features = jnp.zeros((1, tiny.captioner.feature_size))
  shapes = jax.eval_shape(model.init, jax.random.key(0), features)["params"]
  detectors = jax.tree.map(
    lambda x: (rng.normal(size=x.shape) / np.sqrt(x.shape[0])).astype("f4"), shapes
  )
  detectors["output"]["bias"] = (2 * rng.normal(size=len(stems)) - 1).astype("f4")
  params = tiny.params | {"word_detectors": detectors}
  spec = WordDetectorSpec(tuple(stems), 16)
  return dataclasses.replace(tiny, params=params, word_detectors=spec)


def _detected(release, features, tokens):
  """By brute force: the log probabilities of a description's words, by word."""
  numbers = {word: place for place, word in enumerate(release.word_detectors.words)}
  hidden, output = (
    release.params["word_detectors"][name] for name in ("hidden", "output")
  )
  x = features.mean(0) @ hidden["kernel"] + hidden["bias"]
  x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
  logits = x @ output["kernel"] + output["bias"]
  words = [singular(release.vocabulary[token].lower()) for token in tokens]
  return [
    (word, -np.logaddexp(0, -logits[numbers[word]]))
    for word in words
    if word in numbers
  ]


def _mean_log_prob(release, features, tokens):
  values = [value for _, value in _detected(release, features, tokens)]
  return np.mean(values) if values else np.log(0.5)


def _coverage(release, features, tokens):
  distinct = dict(_detected(release, features, tokens)).values()
  return sum(max(0.0, value - np.log(0.8)) for value in distinct)


@pytest.mark.device
@pytest.mark.parametrize("weights", [(0.0, 50.0), (3.0, 50.0)], ids=str)
def test_detected_words_raise_a_hypothesis(tiny, outputs, weights):
  release, features = _with_detectors(tiny), outputs["features"]
  beams, tokens = outputs["rerank50/beam_scores"], outputs["rerank50/beam_tokens"]
  word_weight, coverage = weights
  own_way = Decoding(temperature=0.0)
  other = dataclasses.replace(own_way, word_weight=word_weight, coverage=coverage)
  keys = jax.random.split(jax.random.key(0), len(features))
  with one_size():
    plain, found = (
      Decoder(release, each, batch_size=8)(features, keys) for each in (own_way, other)
    )
  scores = np.array(
    [
      [
        log_prob
        + word_weight * _mean_log_prob(release, unit, row)
        + coverage * _coverage(release, unit, row)
        for log_prob, row in zip(own, _up_to_stop(beam), strict=True)
      ]
      for unit, own, beam in zip(features, beams, tokens, strict=True)
    ]
  )
  best = scores.argmax(1)
  assert (best != beams.argmax(1)).any(), "it makes no difference here"
  expected = tokens[np.arange(len(best)), best]
  assert _up_to_stop(found.tokens) == _up_to_stop(expected)
  np.testing.assert_allclose(found.scores, scores.max(1), atol=tolerance(1e-4, 1e-3))
  assert _up_to_stop(plain.tokens) == _up_to_stop(
    tokens[np.arange(len(best)), beams.argmax(1)]
  )


def test_the_evidence_of_words_is_of_the_regions_that_count(tiny, outputs):
  release, features = _with_detectors(tiny), np.array(outputs["features"])
  counts = np.array([5, 1, 3, *[features.shape[1]] * (len(features) - 3)])
  keys = jax.random.split(jax.random.key(0), len(features))
  with one_size():
    decoded = Decoder(release, Decoding(word_weight=1.0), batch_size=8)(
      features, keys, counts
    )
  evidence = gather_evidence(release, decoded, features, counts)
  rows = zip(features, counts, _up_to_stop(decoded.tokens), strict=True)
  expected = [_mean_log_prob(release, unit[:count], said) for unit, count, said in rows]
  np.testing.assert_allclose(evidence["words"], expected, atol=1e-4)


@pytest.mark.parametrize(
  ("option", "named"),
  [("word_weight", "word_weight=2, coverage=0"), ("coverage", "=0, coverage=2")],
)
def test_detected_words_need_detectors(tiny, option, named):
  with pytest.raises(UserError, match=f"{named}: this captioner has no word"):
    Decoder(tiny, Decoding(**{option: 2.0}))


def _projecting(release, *, seed=1):
  """The same captioner, which reads its features through a projection."""
  rng = np.random.default_rng(seed)
  size = release.captioner.feature_size
  arrays = {"shift": rng.normal(size=size), "kernel": np.eye(size)[::-1]}
  return dataclasses.replace(
    release,
    encoder=dataclasses.replace(release.encoder, projection=size),
    params=release.params
    | {"projection": {name: array.astype("f4") for name, array in arrays.items()}},
  )


def test_detectors_read_what_the_captioner_reads(tiny, outputs):
  plain, features = _with_detectors(tiny), np.array(outputs["features"])
  release = _projecting(plain)
  seen = project(features, Projection(**release.params["projection"]))
  keys = jax.random.split(jax.random.key(0), len(features))
  decoding = Decoding(word_weight=3.0)
  with one_size():
    found, expected = (
      Decoder(each, decoding, batch_size=8)(values, keys)
      for each, values in ((release, features), (plain, np.asarray(seen)))
    )
  np.testing.assert_array_equal(found.tokens, expected.tokens)
  np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
  evidence = (
    gather_evidence(each, found, np.asarray(values))["words"]
    for each, values in ((release, features), (plain, seen))
  )
  np.testing.assert_allclose(*evidence, atol=1e-5)
