"""Decoding against every search of the original."""

import contextlib
import dataclasses
import os
import subprocess
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.decoding import program
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.errors import UserError
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.search.rows import ACCELERATOR_ROWS
from milan_jax._src.text.content_words import EMPTY_WORDS
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary
from milan_jax._src.text.wording import singular
from tests.helpers.devices import tolerance
from tests.helpers.one_size import one_size
from tests.helpers.together import simulated
from tests.search.similarity import f1

STOP = 425
# A greedy search has no beam: the size lets it share the decoder of tests of batches.
GREEDY = {"strategy": "greedy", "beam_size": 5}

# Decoders of the tiny release, by how they decode: each compiles once for all tests.
_DECODERS = {}


def _decoder(tiny, decoding):
  if decoding not in _DECODERS:
    _DECODERS[decoding] = Decoder(tiny, decoding, batch_size=8)
  return _DECODERS[decoding]


def _decode(tiny, features, **options):
  keys = jax.random.split(jax.random.key(0), len(features))
  decoder = _decoder(tiny, Decoding(**options))
  # Tests of batches share the beams of five, and those of parity share its own.
  all_sizes = options.get("beam_size") == 5 or options.get("parity")
  with contextlib.nullcontext() if all_sizes else one_size():
    return decoder(features, keys)


def _up_to_stop(tokens):
  tokens = [list(map(int, row)) for row in tokens]
  return [row[: row.index(STOP)] if STOP in row else row for row in tokens]


# With parity, mutual information is what the original takes unless told otherwise.
CASES = [
  ("greedy/mi=False", {"strategy": "greedy", "mi": False}),
  ("greedy/mi=True", {"strategy": "greedy"}),
  ("beam5/mi=False", {"strategy": "beam", "beam_size": 5, "mi": False}),
  ("beam5/mi=True", {"strategy": "beam", "beam_size": 5}),
  ("beam50/mi=False", {"strategy": "beam", "beam_size": 50, "mi": False}),
  ("beam50/mi=True", {"strategy": "beam", "beam_size": 50, "mi": True}),
  (
    "beam50_len4/mi=False",
    {"strategy": "beam", "beam_size": 50, "mi": False, "length": 4},
  ),
  ("rerank5", {"strategy": "rerank", "beam_size": 5}),
  ("rerank50", {"beam_size": 50}),
  ("rerank50_len4", {"strategy": "rerank", "beam_size": 50, "length": 4}),
]


def _as_asked(release, **options):
  """How a user's flags decode; what is not given is open."""
  has_lm = release.language_model is not None
  return DecodingOptions(**options).resolve(release.decoding, language_model=has_lm)


# Searched in chunks of all sizes that a CPU has; the others in those of one.
ALL_SIZES = ("greedy/mi=True", "beam50/mi=True", "rerank50")
# What is compiled for an accelerator, too.
DEVICE = ("greedy/mi=False", "greedy/mi=True", "beam50/mi=False", "beam50/mi=True")


@pytest.mark.parametrize(
  ("name", "options"),
  [
    pytest.param(*case, id=case[0], marks=[pytest.mark.device] * (case[0] in DEVICE))
    for case in CASES
  ],
)
def test_parity_with_the_original(tiny, outputs, strings, name, options):
  """Tokens, scores, and sentence for sentence."""
  decoder = _decoder(tiny, _as_asked(tiny, parity=True, **options))
  with contextlib.nullcontext() if name in ALL_SIZES else one_size():
    found = decoder(outputs["features"], jax.random.split(jax.random.key(0), 8))
  assert _up_to_stop(found.tokens) == _up_to_stop(outputs[f"{name}/tokens"])
  np.testing.assert_allclose(found.scores, outputs[f"{name}/scores"], atol=1e-4)
  words = Vocabulary(tiny.vocabulary)
  said = [reconstruct_ids(row, words, parity=True) for row in found.tokens]
  assert said == strings[f"{name}/captions"]


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam", "rerank"])
def test_only_parity_takes_mutual_information_unasked(tiny, strategy):
  params = {k: v for k, v in tiny.params.items() if k != "language_model"}
  alone = dataclasses.replace(tiny, language_model=None, params=params)
  unasked = strategy != "rerank"
  assert _as_asked(tiny, strategy=strategy, parity=True).mi == unasked
  for mi in (False, True)[: 1 + unasked]:
    assert _as_asked(tiny, strategy=strategy, parity=True, mi=mi).mi == mi
    assert _as_asked(tiny, strategy=strategy, parity=False, mi=mi).mi == mi
  assert not _as_asked(tiny, strategy=strategy, parity=False).mi
  assert not _as_asked(alone, strategy=strategy, parity=True).mi


@pytest.mark.parametrize(
  ("options", "sizes"),
  [
    ({"strategy": "greedy", "mi": True}, ACCELERATOR_ROWS.sizes),
    ({"strategy": "sample", "beam_size": 5}, ACCELERATOR_ROWS.sizes),
    ({"strategy": "beam", "mi": True, "beam_size": 50}, (128, 64)),
    ({"beam_size": 50}, ACCELERATOR_ROWS.sizes),
    ({"beam_size": 50}, (128, 64)),
  ],
  ids=["greedy", "sample", "beam", "rerank, one chunk", "rerank"],
)
def test_an_accelerator_finds_what_a_cpu_finds(tiny, outputs, options, sizes):
  """Its form of the search, on this machine: all rows in one chunk, or in several."""
  with one_size():
    here = _decode(tiny, outputs["features"], **options)
  packing = dataclasses.replace(ACCELERATOR_ROWS, sizes=sizes)
  with mock.patch.object(program, "packing_for", lambda platform: packing):
    decoder = Decoder(tiny, Decoding(**options), batch_size=8)
    there = decoder(outputs["features"], jax.random.split(jax.random.key(0), 8))
  np.testing.assert_array_equal(there.tokens, here.tokens)
  for name in ("scores", "log_probs", "lm_log_probs", "margins"):
    np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=1e-4)


@pytest.mark.parametrize("beam_size", [5, 50])
def test_corrected_rerank(tiny, outputs, beam_size):
  name = f"rerank{beam_size}"
  found = _decode(tiny, outputs["features"], strategy="rerank", beam_size=beam_size)
  best = outputs[f"{name}/argmax_correct"]
  rows = np.arange(8)
  tokens = outputs[f"{name}/beam_tokens"][rows, best]
  assert _up_to_stop(found.tokens) == _up_to_stop(tokens)
  log_probs = outputs[f"{name}/beam_scores"][rows, best]
  lm_log_probs = outputs[f"{name}/beam_lm_scores_correct"][rows, best]
  np.testing.assert_allclose(found.log_probs, log_probs, atol=1e-4)
  np.testing.assert_allclose(found.lm_log_probs, lm_log_probs, atol=1e-4)
  np.testing.assert_allclose(found.scores, log_probs - 0.2 * lm_log_probs, atol=1e-4)


def test_consensus_against_the_originals_beams(tiny, outputs):
  """The reference hypotheses and scores; similarities counted in Python."""
  weight, rows = 30.0, np.arange(8)
  scores = outputs["rerank50/beam_scores"]
  agreed = np.zeros_like(scores)
  for unit, (hypotheses, log_probs) in enumerate(
    zip(outputs["rerank50/beam_tokens"], scores, strict=True)
  ):
    sets = [
      {singular(tiny.vocabulary[token]) for token in said} - EMPTY_WORDS
      for said in _up_to_stop(hypotheses)
    ]
    sets = [{word for word in each if word.isalpha()} for each in sets]
    likely = np.exp(log_probs) / np.exp(log_probs).sum()
    for place, one in enumerate(sets):
      similar = [f1(one, other) for other in sets]
      agreed[unit, place] = likely @ similar
  mutual = scores - 0.2 * outputs["rerank50/beam_lm_scores_correct"]
  best = (mutual + weight * np.log(agreed)).argmax(1)
  assert (best != mutual.argmax(1)).any(), "it makes no difference here"
  found = _decode(tiny, outputs["features"], consensus=weight)
  tokens = outputs["rerank50/beam_tokens"][rows, best]
  assert _up_to_stop(found.tokens) == _up_to_stop(tokens)
  expected = (mutual + weight * np.log(agreed))[rows, best]
  np.testing.assert_allclose(found.scores, expected, atol=1e-4)


@pytest.mark.parametrize(
  ("floor", "lm_stop", "weight"), [(5.0, True, 0.2), (0.0, False, 0.8)]
)
def test_a_floor_or_a_free_stop_against_the_originals_beams(
  tiny, outputs, floor, lm_stop, weight
):
  """The reference hypotheses; their tokens scored by the model as it is trained."""
  rows = np.arange(8)
  beams = outputs["rerank50/beam_tokens"]
  spec = dataclasses.asdict(tiny.language_model)
  vocabulary = Vocabulary(tiny.vocabulary)
  inputs = np.pad(beams, ((0, 0), (0, 0), (1, 0)), constant_values=vocabulary.start_id)
  log_probs = np.asarray(
    make_language_model(**spec).apply(
      {"params": tiny.params["language_model"]},
      jnp.asarray(inputs[..., :-1].reshape(400, -1)),
    )
  ).reshape(*beams.shape, -1)
  gains = np.take_along_axis(log_probs, beams[..., None], axis=-1)[..., 0]
  counts = (beams == STOP).cumsum(-1) - (beams == STOP) == 0
  lowest = np.where(counts, gains, np.inf).min(-1)
  freely = outputs["rerank50/beam_scores"] - weight * np.where(counts, gains, 0).sum(-1)
  paid = np.where(counts & (lm_stop | (beams != STOP)), gains, 0).sum(-1)
  mutual = outputs["rerank50/beam_scores"] - weight * paid
  plausible = lowest >= -(floor or np.inf)
  assert np.abs(lowest + floor).min() > 1e-4, "a tie would be decided by rounding"
  kept = plausible | ~plausible.any(1, keepdims=True)
  best = np.where(kept, mutual, -np.inf).argmax(1)
  assert (best != freely.argmax(1)).any(), "it makes no difference here"
  found = _decode(
    tiny, outputs["features"], floor=floor, lm_stop=lm_stop, temperature=weight
  )
  whole = np.where(counts, gains, 0).sum(-1)[rows, best]
  np.testing.assert_allclose(found.lm_log_probs, whole, atol=1e-4)
  assert _up_to_stop(found.tokens) == _up_to_stop(beams[rows, best])
  np.testing.assert_allclose(found.scores, mutual[rows, best], atol=1e-4)


def test_no_word_twice_against_the_originals_beams(tiny, outputs):
  """The reference hypotheses and scores; repeated words counted in Python."""
  weight, twice = 0.8, []
  for hypotheses in outputs["rerank50/beam_tokens"]:
    for said in _up_to_stop(hypotheses):
      stems = [singular(tiny.vocabulary[token]) for token in said]
      stems = [stem for stem in stems if stem.isalpha() and stem not in EMPTY_WORDS]
      twice.append(len(set(stems)) < len(stems))
  once = ~np.reshape(twice, (8, -1))
  scores = outputs["rerank50/beam_scores"]
  mutual = scores - weight * outputs["rerank50/beam_lm_scores_correct"]
  kept = once | ~once.any(1, keepdims=True)
  best = np.where(kept, mutual, -np.inf).argmax(1)
  assert (best != mutual.argmax(1)).any(), "it makes no difference here"
  found = _decode(tiny, outputs["features"], repeats=False, temperature=weight)
  tokens = outputs["rerank50/beam_tokens"][np.arange(8), best]
  assert _up_to_stop(found.tokens) == _up_to_stop(tokens)


@pytest.mark.parametrize("options", [{"strategy": "beam"}, {"parity": True}])
def test_only_rerank_avoids_repeated_words(options):
  with pytest.raises(UserError, match="repeats: only strategy rerank"):
    Decoding(**options, repeats=False)


@pytest.mark.parametrize("option", ["consensus", "word_weight", "coverage", "floor"])
@pytest.mark.parametrize(
  "options", [{"strategy": "beam"}, {"strategy": "greedy"}, {"parity": True}]
)
def test_what_only_rerank_has(option, options):
  with pytest.raises(UserError, match=f"{option}: only strategy rerank has it"):
    Decoding(**options, **{option: 1.0})


@pytest.mark.parametrize("option", ["consensus", "word_weight", "coverage", "floor"])
def test_none_is_negative(option):
  with pytest.raises(UserError, match=rf"{option}: expected 0 or more; found -1\."):
    Decoding(**{option: -1.0})


@pytest.mark.parametrize("options", [{"strategy": "beam"}, {"parity": True}])
def test_a_free_stop_belongs_to_rerank(options):
  with pytest.raises(UserError, match="lm_stop: only strategy rerank"):
    Decoding(**options, lm_stop=False)


def test_a_captioners_own_bounds_are_for_rerank():
  bounds = {
    "floor": 8.0,
    "word_weight": 2.0,
    "coverage": 3.0,
    "lm_stop": False,
    "repeats": False,
  }
  own = Decoding(**bounds, guarded=True)
  off = {"lm_stop": True, "repeats": True}
  off |= dict.fromkeys(("floor", "word_weight", "coverage"), 0.0)
  for options, expected, guarded in (
    ({}, bounds, True),
    (off, off, True),
    ({"strategy": "beam"}, off, True),
    ({"parity": True}, off, False),
  ):
    found = DecodingOptions(**options).resolve(own, language_model=True)
    assert {name: getattr(found, name) for name in bounds} == expected
    assert found.guarded == guarded


def test_corrected_greedy_counts_up_to_the_stop(tiny, outputs):
  found = _decode(tiny, outputs["features"], **GREEDY)
  assert _up_to_stop(found.tokens) == _up_to_stop(outputs["greedy/mi=False/tokens"])
  np.testing.assert_allclose(found.scores, found.log_probs, atol=1e-5)


def test_the_original_scores_a_unit_by_its_batch_and_so_does_parity(tiny, outputs):
  """Unit 0 alone stops after 12 steps, among the others after 15."""
  alone = _decode(tiny, outputs["features"][:1], parity=True)
  assert _up_to_stop(alone.tokens) == _up_to_stop(outputs["rerank50_unit0/tokens"])
  np.testing.assert_allclose(alone.scores, outputs["rerank50_unit0/scores"], atol=1e-4)


@pytest.mark.parametrize(
  "strategy",
  [
    pytest.param("greedy", marks=pytest.mark.device),
    *("sample", "beam"),
    pytest.param("rerank", marks=pytest.mark.device),
  ],
)
def test_a_unit_does_not_depend_on_its_batch(tiny, outputs, strategy):
  features = outputs["features"]
  keys = jax.random.split(jax.random.key(0), 8)
  decoder = _decoder(tiny, Decoding(strategy, beam_size=5))
  together = decoder(features, keys)
  for units in ([3], [7, 0, 3]):
    some = decoder(features[units], keys[np.array(units)])
    np.testing.assert_array_equal(some.tokens, together.tokens[units])
    for name in ("scores", "log_probs", "lm_log_probs"):
      np.testing.assert_allclose(
        getattr(some, name),
        getattr(together, name)[units],
        atol=tolerance(1e-5, 1e-4),
      )


def test_eight_devices_say_what_one_says(tiny, outputs, tmp_path):
  """Runs the same batch over a mesh of eight simulated devices."""
  np.save(tmp_path / "features.npy", outputs["features"])
  from milan_jax._src.store.release import save_release

  save_release(tiny, tmp_path / "release")
  script = """
import sys, jax, numpy as np
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.store.release import load_release
assert len(jax.devices()) == 8
folder = sys.argv[1]
decoder = Decoder(load_release(folder + "/release"), Decoding(), batch_size=8)
keys = jax.random.split(jax.random.key(0), 8)
found = decoder(np.load(folder + "/features.npy"), keys)
np.savez(folder + "/found.npz", **found._asdict())
"""
  subprocess.run(
    [sys.executable, "-c", script, str(tmp_path)],
    check=True,
    env={**os.environ, "XLA_FLAGS": simulated(8)},
  )
  one = _decode(tiny, outputs["features"])
  eight = np.load(tmp_path / "found.npz")
  np.testing.assert_array_equal(eight["tokens"], one.tokens)
  np.testing.assert_allclose(eight["scores"], one.scores, atol=1e-5)


@pytest.mark.device
@pytest.mark.parametrize("strategy", ["greedy", "rerank"])
def test_a_stream_of_batches_says_what_each_says(tiny, outputs, strategy):
  features = outputs["features"]
  keys = jax.random.split(jax.random.key(0), 8)
  decoder = Decoder(tiny, Decoding(strategy, beam_size=5), batch_size=3)
  parts = [slice(0, 3), slice(3, 6), slice(6, 8)]
  streamed = decoder.stream((features[part], keys[part]) for part in parts)
  for part, found in zip(parts, streamed, strict=True):
    alone = decoder(features[part], keys[part])
    assert len(found.tokens) == part.stop - part.start
    for one, other in zip(found, alone, strict=True):
      np.testing.assert_array_equal(one, other)


def test_only_the_regions_that_count_are_described(tiny, outputs):
  """As if there were no others, whatever these hold and whoever is in the batch."""
  features = np.array(outputs["features"])
  keys = jax.random.split(jax.random.key(0), 8)
  decoder = _decoder(tiny, Decoding("greedy"))
  few = np.array([1, 4, 5])
  counts = np.full(8, 6)
  counts[few] = 4
  features[few, 4:] = 100 * features[few - 1, 4:]
  with one_size():
    found = decoder(features, keys, counts)
    alone = decoder(features[few, :4], keys[few])
  np.testing.assert_array_equal(found.tokens[few], alone.tokens)
  for name in ("scores", "log_probs", "lm_log_probs", "margins"):
    np.testing.assert_allclose(
      getattr(found, name)[few], getattr(alone, name), atol=1e-5
    )
  whole = outputs["greedy/mi=False/tokens"]
  assert _up_to_stop(found.tokens[counts == 6]) == _up_to_stop(whole[counts == 6])
  assert _up_to_stop(found.tokens[few]) != _up_to_stop(whole[few])


def test_margins_tell_how_close_the_next_best_was(tiny, outputs):
  found = _decode(tiny, outputs["features"], strategy="rerank", beam_size=50)
  scores = outputs["rerank50/beam_scores"]
  scores = scores - 0.2 * outputs["rerank50/beam_lm_scores_correct"]
  ordered = np.sort(scores, axis=1)
  np.testing.assert_allclose(found.margins, ordered[:, -1] - ordered[:, -2], atol=2e-4)
  alone = _decode(tiny, outputs["features"], strategy="beam", beam_size=1)
  assert np.isinf(alone.margins).all()


def test_bfloat16_keeps_the_weights_in_it_and_nearly_the_scores(tiny, outputs):
  exact = _decode(tiny, outputs["features"], **GREEDY)
  decoder = Decoder(tiny, Decoding("greedy", precision="bfloat16"), batch_size=8)
  kernels = decoder.weights.captioner
  assert kernels.context.dtype == kernels.output.dtype == jax.numpy.bfloat16
  with one_size():
    found = decoder(outputs["features"], jax.random.split(jax.random.key(0), 8))
  same = (found.tokens == exact.tokens).all(axis=1)
  assert same.sum() >= 4
  differences = np.abs(found.scores - exact.scores)[same]
  assert 1e-4 < differences.max() < 0.5


def test_bad_options_are_said_plainly(tiny):
  with pytest.raises(UserError, match=r"greedy, sample, beam, rerank; found 'best'"):
    Decoding(strategy="best")
  with pytest.raises(UserError, match="expected 1 or more"):
    Decoding(beam_size=0)
  with pytest.raises(UserError, match=r"precision: .* bfloat16; found 'int8'"):
    Decoding(precision="int8")
  params = {k: v for k, v in tiny.params.items() if k != "language_model"}
  mute = dataclasses.replace(tiny, language_model=None, params=params)
  with pytest.raises(UserError, match="no language model"):
    Decoder(mute, Decoding("rerank"), batch_size=4)
  decoder = Decoder(mute, Decoding("beam", beam_size=2, length=2), batch_size=1)
  keys = jax.random.split(jax.random.key(0), 1)
  with one_size():
    assert decoder(np.zeros((1, 6, 1024), np.float32), keys).scores.shape == (1,)


@pytest.mark.parametrize(
  ("options", "flag"),
  [
    ({"strategy": "greedy", "temperature": 0.3}, "temperature"),
    ({"strategy": "beam", "temperature": 0.3, "mi": False}, "temperature"),
    ({"strategy": "rerank", "mi": True}, "mi"),
    ({"strategy": "greedy", "beam_size": 3}, "beam_size"),
    ({"strategy": "sample", "beam_size": 3}, "beam_size"),
    ({"strategy": "beam", "consensus": 0.5}, "consensus"),
    ({"strategy": "beam", "floor": 8.0}, "floor"),
    ({"strategy": "beam", "lm_stop": False}, "lm_stop"),
    ({"strategy": "beam", "repeats": False}, "repeats"),
    ({"strategy": "beam", "seed": 3}, "seed"),
  ],
  ids=str,
)
def test_an_option_that_the_strategy_would_ignore_is_refused(options, flag):
  with pytest.raises(UserError, match=f"^{flag}: strategy {options['strategy']} "):
    DecodingOptions(**options).resolve(Decoding(), language_model=True)


def test_options_that_the_strategy_uses_are_taken():
  own = Decoding(temperature=0.3, beam_size=7, nothing=("various things",))
  found = DecodingOptions(strategy="greedy", mi=True, temperature=0.5, seed=None)
  expected = dataclasses.replace(own, strategy="greedy", mi=True, temperature=0.5)
  assert found.resolve(own, language_model=True) == expected
  sampled = DecodingOptions(strategy="sample", seed=4)
  assert sampled.resolve(own, language_model=True).strategy == "sample"
