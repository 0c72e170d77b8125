"""`Captioner.log_probs` is the function that `score` computes, for other programs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import milan_jax
from tests.helpers.tiny_release import tiny_release

TEXTS = ["red dots", "edges of zebras and green things", "blue"]


@pytest.fixture(scope="module")
def projected():
  """A captioner whose features are projected, and features of three units."""
  rng = np.random.default_rng(1)
  own = tiny_release()
  kernel = rng.standard_normal((48, 32)).astype(np.float32) / 6
  shift = rng.standard_normal(48).astype(np.float32)
  spec = dataclasses.replace(own.encoder, levels=("act0", "blocks.0"), projection=32)
  params = {**own.params, "projection": {"shift": shift, "kernel": kernel}}
  release = dataclasses.replace(own, encoder=spec, params=params)
  return milan_jax.Captioner(release), rng.standard_normal((3, 5, 48), np.float32)


def test_sums_are_the_scores(scene):
  _, names = scene
  captioner, features = names["captioner"], names["features"]
  tokens = captioner.tokens(TEXTS)
  found = jax.jit(captioner.log_probs)(
    captioner.params, features.read(0, len(TEXTS)), tokens
  )
  units = [milan_jax.Unit("conv2", index) for index in range(len(TEXTS))]
  scores = captioner.score(
    features, {unit: [text] for unit, text in zip(units, TEXTS, strict=True)}
  )
  expected = [scores[unit][0] for unit in units]
  np.testing.assert_allclose(
    found.log_probs.sum(1), [score.log_prob for score in expected], rtol=1e-5
  )
  np.testing.assert_allclose(
    found.lm_log_probs.sum(1), [score.lm_log_prob for score in expected], rtol=1e-5
  )
  # Red dots and a stop; the longest text has six words and a stop.
  assert tokens.shape == (3, 7) and (np.asarray(found.log_probs[0]) != 0).sum() == 3


def test_the_gradient_of_the_features_is_that_of_differences(projected):
  captioner, features = projected
  tokens = captioner.tokens(TEXTS)

  def total(features):
    return captioner.log_probs(captioner.params, features, tokens).log_probs.sum()

  gradient = jax.grad(total)(jnp.asarray(features))
  direction = np.random.default_rng(2).standard_normal(features.shape, np.float32)
  step = 1e-2
  ahead, behind = total(features + step * direction), total(features - step * direction)
  np.testing.assert_allclose(
    jnp.vdot(gradient, direction), (ahead - behind) / (2 * step), rtol=2e-2
  )


def test_a_step_down_the_gradient_makes_texts_likelier(projected):
  captioner, features = projected
  tokens = captioner.tokens(TEXTS)

  @jax.jit
  def loss(params):
    found = captioner.log_probs(params, features, tokens)
    return -(found.log_probs.sum() + found.lm_log_probs.sum())

  before, gradients = jax.value_and_grad(loss)(captioner.params)
  stepped = jax.tree.map(lambda leaf, by: leaf - 1e-3 * by, captioner.params, gradients)
  after = loss(stepped)
  assert after < before
  release = dataclasses.replace(captioner.release, params=stepped)
  tuned = milan_jax.Captioner(release)
  assert float(loss(tuned.params)) == pytest.approx(float(after), rel=1e-6)
