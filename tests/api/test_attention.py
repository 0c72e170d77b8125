"""Attention word by word, searches by a text, and regions in memory."""

import dataclasses

import numpy as np
import pytest

import milan_jax
from milan_jax._src.decoding.scoring import REGIONS
from milan_jax._src.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.helpers.feature_store import write_features

# Of one length, so that the tests share what they compile.
TEXT = "green things and dots"


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _softmax(x):
  powers = np.exp(x - x.max())
  return powers / powers.sum()


def _read(params, features, ids, start):
  """The captioner in NumPy: attention and log-probability at each of some tokens."""
  p = params["captioner"]

  def dense(name, x, within=p):
    return x @ within[name]["kernel"] + within[name]["bias"]

  mean = features.mean(0)
  hidden, cell = (np.tanh(dense(f"init_{name}", mean)) for name in ("hidden", "cell"))
  keys = dense("key", features, p["attention"])
  weights, log_probs = [], []
  for read, target in zip([start, *ids[:-1]], ids, strict=True):
    query = dense("query", hidden, p["attention"])
    energies = dense("output", np.tanh(query + keys), p["attention"])[:, 0]
    weights.append(_softmax(energies))
    context = (weights[-1] @ features) * _sigmoid(dense("gate", hidden))
    inputs = np.concatenate([p["embedding"]["embedding"][read], context])
    lstm = p["lstm"]
    gates = inputs @ lstm["input_kernel"] + lstm["input_bias"]
    gates += hidden @ lstm["hidden_kernel"] + lstm["hidden_bias"]
    i, f, g, o = np.split(gates, 4)
    cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
    hidden = _sigmoid(o) * np.tanh(cell)
    log_probs.append(np.log(_softmax(dense("output", hidden)))[target])
  return np.array(weights), np.array(log_probs)


def _ids(release, text):
  words = {word: number for number, word in enumerate(release.vocabulary)}
  unknown, stop = len(words) + 3, len(words) + 1
  return [*(words.get(word, unknown) for word in text.split()), stop]


def test_attention_is_that_of_the_equations(scene):
  _, names = scene
  captioner, features = names["captioner"], names["features"]
  release, unit = captioner.release, milan_jax.Unit("conv2", 3)
  texts = {unit: ["red dots", "edges of things of zebras and blue green", TEXT]}
  units = [each for each, _ in features.units(0, 8)]
  (score,) = captioner.score(features, {each: [TEXT] for each in units})[unit]
  count = int(features.num_regions(3, 4)[0])
  regions = features.read(3, 4)[0][:count].astype(np.float64)
  found = captioner.attend(features, texts)[unit]
  for read in found:
    assert read.words == (*read.text.split(), "(end)")
    weights, log_probs = _read(
      release.params, regions, _ids(release, read.text), len(release.vocabulary)
    )
    np.testing.assert_allclose(read.weights, weights, atol=1e-5)
    np.testing.assert_allclose(read.log_probs, log_probs, atol=1e-4)
  # The forced scores are of another program, over packed rows.
  assert found[2].log_probs.sum() == pytest.approx(score.log_prob, abs=1e-4)
  assert found[2].lm_log_probs.sum() == pytest.approx(score.lm_log_prob, abs=1e-4)


def test_attention_leaves_out_regions_that_do_not_count(scene, tmp_path):
  _, names = scene
  captioner, unit = names["captioner"], milan_jax.Unit("a", 0)
  rng = np.random.default_rng(0)
  whole = rng.normal(size=(1, 4, 32)).astype(np.float32)
  write_features(tmp_path / "three", whole[:, :3])
  write_features(tmp_path / "four", whole)
  three, four = (milan_jax.open_features(tmp_path / name) for name in ("three", "four"))
  four.num_regions = lambda start, stop: np.array([3])
  texts = {unit: ["red dots"]}
  (expected,), (found,) = (captioner.attend(x, texts)[unit] for x in (three, four))
  np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)
  assert found.weights.shape == (3, 3)


def test_a_search_finds_the_best_units_and_regions(scene):
  _, names = scene
  captioner, features = names["captioner"], names["features"]
  units = [unit for unit, dead in features.units(0, 8) if not dead]
  scores = captioner.score(features, {unit: [TEXT] for unit in units})
  pmis = {unit: each[0].log_prob - each[0].lm_log_prob for unit, each in scores.items()}
  found = captioner.find(features, TEXT, top=4)
  assert [match.unit for match in found] == sorted(units, key=lambda u: -pmis[u])[:4]
  release = captioner.release
  for match in found:
    assert match.pmi == pytest.approx(pmis[match.unit])
    own = features.read(match.unit.index, match.unit.index + 1)[0]
    count = int(features.num_regions(match.unit.index, match.unit.index + 1)[0])
    assert np.isnan(match.region_pmis[count:]).all()
    for slot in range(count):
      if not own[slot].any():
        assert np.isnan(match.region_pmis[slot])
        continue
      alone = own[slot : slot + 1].astype(np.float64)
      ids = _ids(release, TEXT)
      log_prob = _read(release.params, alone, ids, len(release.vocabulary))[1].sum()
      expected = log_prob - match.score.lm_log_prob
      assert match.region_pmis[slot] == pytest.approx(expected, abs=1e-4)


def test_more_regions_than_are_scored_together(scene, tmp_path):
  _, names = scene
  captioner = names["captioner"]
  rng = np.random.default_rng(1)
  number = REGIONS // 5 + 1
  features = rng.normal(size=(number, 5, 32)).astype(np.float32)
  features[1, 2] = 0  # an empty mask
  write_features(tmp_path / "many", features)
  store = milan_jax.open_features(tmp_path / "many")
  units = [milan_jax.Unit("a", unit) for unit in range(number)]
  found = captioner._scorer.of_regions(store, units, TEXT)
  release = captioner.release
  for unit, slot in ((0, 0), (1, 1), (number - 1, 4)):
    alone = features[unit, slot : slot + 1].astype(np.float64)
    log_prob = _read(release.params, alone, _ids(release, TEXT), 8)[1]
    assert found[unit, slot] == pytest.approx(log_prob.sum(), abs=1e-4)
  assert np.isnan(found[1, 2]) and np.isnan(found).sum() == 1


def test_without_a_language_model(scene):
  _, names = scene
  whole = names["captioner"].release
  params = {"captioner": whole.params["captioner"]}
  release = dataclasses.replace(whole, language_model=None, params=params)
  captioner = milan_jax.Captioner(release)
  (match,) = captioner.find(names["features"], "red", top=1)
  assert match.pmi == match.score.log_prob and match.score.lm_log_prob is None
  (read,) = captioner.attend(names["features"], {match.unit: ["red"]})[match.unit]
  assert read.lm_log_probs is None


def test_features_in_memory_are_those_on_disk(scene):
  folder, names = scene
  captioner, exemplars = names["captioner"], names["exemplars"]
  found, expected = captioner.encode(exemplars), names["features"]
  np.testing.assert_array_equal(found.read(0, 8), expected.read(0, 8))
  assert list(found.units(0, 8)) == list(expected.units(0, 8))
  assert list(found.firing(0, 8)) == list(expected.firing(0, 8))
  assert (len(found), found.k, found.layers) == (8, 5, ("conv2",))
  np.testing.assert_array_equal(found.tables()["conv2"], expected.tables()["conv2"])
  assert captioner.describe(found) == names["descriptions"]
  with pytest.raises(milan_jax.UserError, match=r"give Captioner\.encode a folder"):
    captioner.describe(found, workdir=folder / "memory")


def test_given_regions_are_encoded_as_exemplars_are(scene):
  _, names = scene
  captioner, exemplars = names["captioner"], names["exemplars"]
  known = exemplars.exemplars("conv2")
  full = np.flatnonzero(known.num_regions == 5)[:2]
  rows, slots = full.repeat(5), np.tile(np.arange(5), len(full))
  images = exemplars.images(known.image_rows[full].ravel())
  masks = exemplars.masks("conv2", rows, slots)
  shape = (len(full), 5, 32, 32)
  regions = milan_jax.from_regions(images.reshape(*shape, 3), masks.reshape(shape))
  np.testing.assert_allclose(
    captioner.encode(regions).read(0, len(full)),
    names["features"].read_rows(full),
    rtol=1e-5,
    atol=1e-6,
  )


def test_what_cannot_be_read_or_searched_is_refused(scene):
  _, names = scene
  captioner, features = names["captioner"], names["features"]
  for text in ("", "  "):
    with pytest.raises(milan_jax.UserError, match="text: expected a description"):
      captioner.find(features, text)
  with pytest.raises(milan_jax.UserError, match="top: expected 1 or more"):
    captioner.find(features, "red", top=0)
  with pytest.raises(milan_jax.UserError, match="conv2 99, which has none"):
    captioner.attend(features, {milan_jax.Unit("conv2", 99): ["red"]})
  images = np.zeros((1, 2, 8, 8, 3), np.uint8)
  with pytest.raises(milan_jax.UserError, match="a mask for each image"):
    milan_jax.from_regions(images, np.zeros((1, 3, 8, 8), bool))
  with pytest.raises(milan_jax.UserError, match="expected at least one"):
    milan_jax.from_regions(images[:, :0], np.zeros((1, 0, 8, 8), bool))
  with pytest.raises(milan_jax.UserError, match="found float64 of shape"):
    milan_jax.from_regions(images / 255, np.zeros((1, 2, 8, 8), bool))


def test_attention_is_the_originals(tiny, outputs, tmp_path):
  captioner = milan_jax.Captioner(tiny)
  write_features(tmp_path / "features", outputs["features"])
  store = milan_jax.open_features(tmp_path / "features")
  vocabulary = Vocabulary(tiny.vocabulary)
  expected = outputs["greedy/mi=False/attentions"]
  texts = {}
  for row, tokens in enumerate(outputs["greedy/mi=False/tokens"]):
    before_stop = np.cumsum(tokens == vocabulary.stop_id) == 0
    words = [vocabulary.token(each) for each in tokens[before_stop].tolist()]
    if words and not set(words) & set(SPECIAL_TOKENS):
      texts[milan_jax.Unit("a", row)] = [" ".join(words)]
  assert texts
  for unit, (read,) in captioner.attend(store, texts).items():
    assert " ".join(read.words[:-1]) == texts[unit][0]
    known = min(len(read.words), expected.shape[1])
    np.testing.assert_allclose(
      read.weights[:known], expected[unit.index, :known], atol=1e-5
    )
