"""The captioner and the language model against the original's numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.models.language_models import make_language_model

START = 424


def _close(actual, expected):
  scale = np.abs(expected).max()
  np.testing.assert_allclose(np.asarray(actual) / scale, expected / scale, atol=1e-5)


@pytest.fixture(scope="module")
def captioner(tiny):
  module = Captioner(**dataclasses.asdict(tiny.captioner))
  return lambda *args, **kw: module.apply(
    {"params": tiny.params["captioner"]}, *args, **kw
  )


@pytest.fixture(scope="module")
def language_model(tiny):
  module = make_language_model(**dataclasses.asdict(tiny.language_model))
  return lambda *args, **kw: module.apply(
    {"params": tiny.params["language_model"]}, *args, **kw
  )


@pytest.fixture(scope="module")
def token_inputs(outputs):
  targets = outputs["forced/targets"]
  return jnp.asarray(np.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=START))


def test_initial_state(captioner, outputs):
  _, state = captioner(jnp.asarray(outputs["features"]), method="start")
  _close(state.hidden[:, 0], outputs["init/h"])
  _close(state.cell[:, 0], outputs["init/c"])


def test_one_step(captioner, language_model, outputs):
  regions, state = captioner(jnp.asarray(outputs["features"]), method="start")
  starts = jnp.full((8, 1), START)
  state, log_probs, attentions = captioner(regions, state, starts, method="step")
  _close(log_probs[:, 0], outputs["step0/predictions"])
  _close(attentions[:, 0], outputs["step0/attentions"])
  _close(state.hidden[:, 0], outputs["step0/h"])
  _close(state.cell[:, 0], outputs["step0/c"])
  lm_state = language_model(8, 1, method="start")
  lm_state, lm_log_probs = language_model(lm_state, starts, method="step")
  for layer, (hidden, cell) in enumerate(lm_state):
    _close(hidden[:, 0], outputs["step0/h_lm"][layer])
    _close(cell[:, 0], outputs["step0/c_lm"][layer])
  _close((log_probs - 0.2 * lm_log_probs)[:, 0], outputs["step0/predictions_mi"])


def test_forced_decoding(captioner, language_model, outputs, token_inputs):
  features = jnp.asarray(outputs["features"])
  log_probs, attentions = captioner(features, token_inputs)
  _close(log_probs[..., ::4], outputs["forced/mi=False/predictions"])
  _close(attentions, outputs["forced/mi=False/attentions"])
  with_mi = log_probs - 0.2 * language_model(token_inputs)
  _close(with_mi[..., ::4], outputs["forced/mi=True/predictions"])
  # The original's forced scores count the padding after the stop, too.
  targets = outputs["forced/targets"][:, :, None]
  for scores, name in ((log_probs, "False"), (with_mi, "True")):
    totals = np.take_along_axis(np.asarray(scores), targets, axis=-1).sum((1, 2))
    _close(totals, outputs[f"forced/mi={name}/scores"])


def test_language_model(language_model, outputs):
  predictions = language_model(jnp.asarray(outputs["lm/inputs"]))
  _close(predictions[..., ::4], outputs["lm/full"])


def test_the_padding_row_of_the_language_model_is_zero(tiny):
  embedding = tiny.params["language_model"]["embedding"]["embedding"]
  assert not embedding[START + 2].any()
  fresh = LanguageModel(vocab_size=9, hidden_size=4, embedding_size=3, pad_id=7)
  params = fresh.init(jax.random.key(0), jnp.zeros((1, 2), int))["params"]
  table = np.asarray(params["embedding"]["embedding"])
  assert not table[7].any()
  assert table[[0, 8]].all()


def test_steps_equal_the_teacher_forced_pass():
  module = Captioner(11, 6, hidden_size=5, embedding_size=4, attention_size=3)
  features = jax.random.normal(jax.random.key(0), (2, 3, 6))
  tokens = jax.random.randint(jax.random.key(1), (2, 4), 0, 11)
  params = module.init(jax.random.key(2), features, tokens)
  together, _ = module.apply(params, features, tokens)
  regions, state = module.apply(params, features, method="start")
  for t in range(4):
    state, log_probs, _ = module.apply(
      params, regions, state, tokens[:, t, None], method="step"
    )
    np.testing.assert_allclose(log_probs[:, 0], together[:, t], atol=1e-5)


def test_dropout_acts_in_training_only():
  module = Captioner(11, 6, hidden_size=32, embedding_size=4)
  features = jnp.ones((1, 3, 6))
  tokens = jnp.zeros((1, 2), int)
  params = module.init(jax.random.key(0), features, tokens)
  plain, attentions = module.apply(params, features, tokens)
  keys = {"dropout": jax.random.key(1)}
  dropped, kept = module.apply(params, features, tokens, False, rngs=keys)
  assert np.abs(plain - dropped).max() > 1e-3
  np.testing.assert_array_equal(attentions, kept)
