"""Every hypothesis and score of the original's searches, not only the best."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.captioner import Captioner, Regions
from milan_jax._src.models.captioner_rows import (
  CaptionerRows,
  fuse_captioner_weights,
  start_captioner,
)
from milan_jax._src.models.language_model_rows import (
  LanguageModelRows,
  fuse_language_model_weights,
)
from milan_jax._src.search.beam import beam_search
from milan_jax._src.search.forced import counted, forced_scores
from milan_jax._src.search.rerank import rerank
from milan_jax._src.search.rollout import greedy
from milan_jax._src.search.steps import BoundModel
from tests.helpers.one_size import ONE_SIZE

START, STOP = 424, 425
ENDS = {"start_id": START, "stop_id": STOP}


class Models:
  """Both models over some of the reference's units."""

  def __init__(self, tiny, features):
    self.features = jnp.asarray(features)
    self.units = jnp.arange(len(features), dtype=jnp.int32)
    weights = fuse_captioner_weights(tiny.params["captioner"])
    started = start_captioner(weights, self.features)
    captioner = CaptionerRows(weights, Regions(self.features, started.keys))
    self.captioner = BoundModel(captioner, started.state, self.units)
    lm = LanguageModelRows(fuse_language_model_weights(tiny.params["language_model"]))
    self.lm = BoundModel(lm, lm.start(), jnp.zeros_like(self.units))

  def options(self, mi):
    options = {"valid": jnp.ones(len(self.units), bool), **ENDS}
    # With both models in chunks of all sizes that a CPU has.
    if mi:
      return options | {"lm": self.lm, "temperature": 0.2}
    return options | {"packing": ONE_SIZE}

  @functools.cache  # noqa: B019
  def beams(self, beam_size, length, mi):
    """Several tests look at the same search, which compiles for seconds."""
    options = self.options(mi)
    return beam_search(
      self.captioner, beam_size=beam_size, length=length, **options
    ).beams

  def scores(self, bound, tokens, num_steps=None, one_too_many=False):
    counts = counted(
      tokens, stop_id=STOP, num_steps=num_steps, one_too_many=one_too_many
    )
    options = {"start_id": START, "packing": ONE_SIZE}
    return forced_scores(bound, tokens, counts, **options)[0]


@pytest.fixture(scope="module")
def models(tiny, outputs):
  return Models(tiny, outputs["features"])


def _same_beams(beams, outputs, name):
  """Equal scores in order, and equal tokens wherever no neighbor ties."""
  length = outputs[f"{name}/beam_tokens"].shape[-1]
  scores = outputs[f"{name}/beam_scores"]
  np.testing.assert_allclose(beams.scores, scores, atol=1e-4)
  assert not (np.asarray(beams.tokens)[:, :, length:] != STOP).any()
  for unit in range(len(scores)):
    found = [tuple(row[:length]) for row in np.asarray(beams.tokens[unit])]
    expected = [tuple(row) for row in outputs[f"{name}/beam_tokens"][unit]]
    assert set(found) == set(expected)
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
      gaps = np.abs(np.delete(scores[unit], i) - scores[unit, i])
      assert one == other or gaps.min() < 1e-4


@pytest.mark.parametrize(
  ("name", "beam_size", "length", "mi"),
  [
    ("beam5/mi=False", 5, 15, False),
    ("beam5/mi=True", 5, 15, True),
    ("beam50/mi=False", 50, 15, False),
    ("beam50/mi=True", 50, 15, True),
    ("beam50_len4/mi=False", 50, 4, False),
  ],
)
def test_every_hypothesis(models, outputs, name, beam_size, length, mi):
  _same_beams(models.beams(beam_size, length, mi), outputs, name)


@pytest.mark.parametrize(
  ("name", "beam_size", "length"),
  [("rerank5", 5, 15), ("rerank50", 50, 15), ("rerank50_len4", 50, 4)],
)
def test_every_reranked_score(models, outputs, name, beam_size, length):
  beams = models.beams(beam_size, length, False)
  _same_beams(beams, outputs, name)
  if f"{name}/beam_lm_scores" not in outputs:
    return
  tokens = jnp.asarray(outputs[f"{name}/beam_tokens"], jnp.int32)
  known = beams._replace(tokens=tokens)
  parity = models.scores(models.lm, tokens, beams.num_steps, one_too_many=True)
  np.testing.assert_allclose(parity, outputs[f"{name}/beam_lm_scores"], atol=1e-4)
  rescored = beams.scores - 0.2 * parity
  np.testing.assert_allclose(rescored, outputs[f"{name}/rescored"], atol=1e-4)
  corrected = models.scores(models.lm, tokens)
  expected = outputs[f"{name}/beam_lm_scores_correct"]
  np.testing.assert_allclose(corrected, expected, atol=1e-4)
  for scores, suffix in ((parity, ""), (corrected, "_correct")):
    found, *_ = rerank(known, scores, temperature=0.2)
    best = outputs[f"{name}/argmax{suffix}"]
    np.testing.assert_array_equal(found.tokens, tokens[np.arange(8), best])


def test_a_unit_alone(tiny, outputs):
  models = Models(tiny, outputs["features"][:1])
  beams = models.beams(50, 15, False)
  assert int(beams.num_steps) == outputs["rerank50_unit0/beam_tokens"].shape[-1]
  _same_beams(beams, outputs, "rerank50_unit0")


@pytest.mark.parametrize("mi", [False, True])
def test_attention_of_greedy(models, tiny, outputs, mi):
  found = greedy(
    models.captioner, length=15, count_tail=True, **models.options(mi)
  ).hypotheses
  name = f"greedy/mi={mi}"
  np.testing.assert_array_equal(found.tokens, outputs[f"{name}/tokens"])
  inputs = jnp.pad(found.tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)
  captioner = Captioner(**dataclasses.asdict(tiny.captioner))
  params = {"params": tiny.params["captioner"]}
  _, attentions = captioner.apply(params, models.features, inputs)
  np.testing.assert_allclose(attentions, outputs[f"{name}/attentions"], atol=1e-5)


def test_scores_of_given_descriptions(models, outputs):
  tokens = jnp.asarray(outputs["forced/targets"], jnp.int32)[:, None]
  log_probs = models.scores(models.captioner, tokens)[:, 0]
  np.testing.assert_allclose(log_probs, outputs["score/mi=False"], atol=1e-4)
  scores = log_probs - 0.2 * models.scores(models.lm, tokens)[:, 0]
  for name in ("score/mi=True", "score/default"):
    np.testing.assert_allclose(scores, outputs[name], atol=1e-4)


def test_language_model_of_given_descriptions(models, outputs):
  tokens = jnp.asarray(outputs["lm/inputs"][:, 1:], jnp.int32)[:, None]
  parity = models.scores(models.lm, tokens, one_too_many=True)[:, 0]
  np.testing.assert_allclose(parity, outputs["lm/reduce"], atol=1e-4)
  np.testing.assert_allclose(parity, outputs["lm/logp"], atol=1e-4)
  corrected = models.scores(models.lm, tokens)[:, 0]
  np.testing.assert_allclose(corrected, outputs["lm/reduce_correct"], atol=1e-4)
