"""Every hypothesis and score of the original's searches, not only the best."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax.models.captioner import Captioner
from milan_jax.models.language_model import LanguageModel
from milan_jax.search.beam import beam_search
from milan_jax.search.forced import counted, forced_scores
from milan_jax.search.rerank import rerank
from milan_jax.search.rollout import greedy
from milan_jax.search.steps import pointwise, widen

START, STOP = 424, 425
ENDS = {"start_id": START, "stop_id": STOP}


class Models:
  """Both models' steps over some of the reference's units."""

  def __init__(self, tiny, features):
    captioner = Captioner(**dataclasses.asdict(tiny.captioner))
    language_model = LanguageModel(**dataclasses.asdict(tiny.language_model))
    self.captioner = {"params": tiny.params["captioner"]}
    self.language_model = {"params": tiny.params["language_model"]}
    self.features = jnp.asarray(features)
    self.apply = captioner.apply
    self.num_units = len(features)
    regions, self.state = captioner.apply(self.captioner, self.features, method="start")
    self.lm_state = language_model.apply(
      self.language_model, self.num_units, 1, method="start"
    )

    def step(state, tokens):
      applied = captioner.apply(self.captioner, regions, state, tokens, method="step")
      return applied[:2]

    def lm_step(state, tokens):
      return language_model.apply(self.language_model, state, tokens, method="step")

    self.step, self.lm_step = step, lm_step

  def searched(self, mi):
    if not mi:
      return self.step, self.state
    step = pointwise(self.step, self.lm_step, temperature=0.2)
    return step, (self.state, self.lm_state)

  def beams(self, beam_size, length, mi=False):
    step, state = self.searched(mi)
    valid = jnp.ones(self.num_units, bool)
    return beam_search(
      step, state, valid=valid, beam_size=beam_size, length=length, **ENDS
    )

  def lm_scores(self, tokens, num_steps, one_too_many):
    counts = counted(
      tokens, stop_id=STOP, num_steps=num_steps, one_too_many=one_too_many
    )
    state = widen(self.lm_state, tokens.shape[1])
    return forced_scores(self.lm_step, state, tokens, counts, start_id=START)


@pytest.fixture(scope="module")
def models(tiny, outputs):
  return Models(tiny, outputs["features"])


def _same_beams(beams, outputs, name):
  """Equal scores in order, and equal tokens wherever no neighbour ties."""
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
  beams = models.beams(beam_size, length)
  _same_beams(beams, outputs, name)
  if f"{name}/beam_lm_scores" not in outputs:
    return
  tokens = jnp.asarray(outputs[f"{name}/beam_tokens"], jnp.int32)
  known = beams._replace(tokens=tokens)
  parity = models.lm_scores(tokens, beams.num_steps, one_too_many=True)
  np.testing.assert_allclose(parity, outputs[f"{name}/beam_lm_scores"], atol=1e-4)
  rescored = beams.scores - 0.2 * parity
  np.testing.assert_allclose(rescored, outputs[f"{name}/rescored"], atol=1e-4)
  corrected = models.lm_scores(tokens, beams.num_steps, one_too_many=False)
  expected = outputs[f"{name}/beam_lm_scores_correct"]
  np.testing.assert_allclose(corrected, expected, atol=1e-4)
  for scores, suffix in ((parity, ""), (corrected, "_correct")):
    found = rerank(known, scores, temperature=0.2)
    best = outputs[f"{name}/argmax{suffix}"]
    np.testing.assert_array_equal(found.tokens, tokens[np.arange(8), best])


def test_a_unit_alone(tiny, outputs):
  models = Models(tiny, outputs["features"][:1])
  beams = models.beams(50, 15)
  assert int(beams.num_steps) == outputs["rerank50_unit0/beam_tokens"].shape[-1]
  _same_beams(beams, outputs, "rerank50_unit0")


@pytest.mark.parametrize("mi", [False, True])
def test_attention_of_greedy(models, outputs, mi):
  step, state = models.searched(mi)
  found = greedy(step, state, batch=8, length=15, count_tail=True, **ENDS)
  name = f"greedy/mi={mi}"
  np.testing.assert_array_equal(found.tokens, outputs[f"{name}/tokens"])
  inputs = jnp.pad(found.tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)
  _, attentions = models.apply(models.captioner, models.features, inputs)
  np.testing.assert_allclose(attentions, outputs[f"{name}/attentions"], atol=1e-5)


def test_scores_of_given_descriptions(models, outputs):
  tokens = jnp.asarray(outputs["forced/targets"], jnp.int32)[:, None]
  counts = counted(tokens, stop_id=STOP)
  for mi in (False, True):
    step, state = models.searched(mi)
    scores = forced_scores(step, state, tokens, counts, start_id=START)[:, 0]
    np.testing.assert_allclose(scores, outputs[f"score/mi={mi}"], atol=1e-4)
  np.testing.assert_allclose(scores, outputs["score/default"], atol=1e-4)


def test_language_model_of_given_descriptions(models, outputs):
  tokens = jnp.asarray(outputs["lm/inputs"][:, 1:], jnp.int32)[:, None]
  parity = models.lm_scores(tokens, None, one_too_many=True)[:, 0]
  np.testing.assert_allclose(parity, outputs["lm/reduce"], atol=1e-4)
  np.testing.assert_allclose(parity, outputs["lm/logp"], atol=1e-4)
  corrected = models.lm_scores(tokens, None, one_too_many=False)[:, 0]
  np.testing.assert_allclose(corrected, outputs["lm/reduce_correct"], atol=1e-4)
