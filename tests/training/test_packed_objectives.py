"""The objectives, whose gradients are written by hand, beside Flax's own modules.

The modules' `__call__` is the plain definition: a scan that autodiff differentiates,
and an output layer over every position.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.models.transformer import TransformerLanguageModel
from milan_jax._src.runs.precision import full_float32
from milan_jax._src.training import batches, losses, objectives

WORDS, START, STOP, PAD, VOCAB = 20, 20, 21, 22, 24
CAPTIONER = Captioner(VOCAB, 5, hidden_size=8, embedding_size=4, attention_size=6)
LANGUAGE_MODEL = LanguageModel(VOCAB, hidden_size=8, embedding_size=4, num_layers=3)
TRANSFORMER = TransformerLanguageModel(VOCAB, hidden_size=8, embedding_size=4)


def make_batch(num_devices=None, *, rows=12, seed=0):
  """Returns captions of 1 to 9 words; two rows only fill the batch."""
  rng = np.random.default_rng(seed)
  tokens = np.full((rows, 11), PAD)
  for row, length in zip(tokens, rng.integers(1, 10, size=rows), strict=True):
    row[0], row[length + 1] = START, STOP
    row[1 : length + 1] = rng.integers(0, WORDS, size=length)
  tokens[-2:] = PAD
  weights = np.ones(rows, np.float32)
  weights[-2:] = 0
  targets = tokens[:, 1:]
  positions = None
  if num_devices:
    positions = batches.real_positions(targets != PAD, num_devices)
    assert positions is not None and positions.size < targets.size
  features = rng.normal(size=(rows, 3, 5)).astype(np.float32)
  batch = batches.Batch(tokens[:, :-1], targets, weights, features, positions)
  return jax.tree.map(jnp.asarray, batch)


def random_params(model, *inputs):
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
  return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes)


def plain_terms(model, params, batch):
  """The losses from log-probabilities, summed in plain numpy fashion."""
  mask = losses.token_mask(batch.targets, batch.weights, pad_id=PAD)
  if isinstance(model, Captioner):
    log_probs, attentions = model.apply(
      {"params": params}, batch.features, batch.inputs
    )
    steps = mask.any(0)[None, :, None]
    lacks = 1 - jnp.where(steps, attentions, 0).sum(1)
    rows = (lacks**2).mean(1) * batch.weights
    penalty = {"attention": rows.sum() / batch.weights.sum()}
  else:
    log_probs, penalty = model.apply({"params": params}, batch.inputs), {}
  each = jnp.take_along_axis(log_probs, batch.targets[..., None], axis=-1)[..., 0]
  return {"nll": -(each * mask).sum() / mask.sum()} | penalty


def both(model, params, batch, dtype="float32"):
  """Returns terms and gradients of the plain definition and of ours."""
  make = (
    objectives.captioner_objective
    if isinstance(model, Captioner)
    else objectives.language_model_objective
  )
  objective = make(model, pad_id=PAD, dtype=dtype)

  def ours(params):
    terms = {name: m.value for name, m in objective(params, batch, None).items()}
    return sum(terms.values()), terms

  def plain(params):
    terms = plain_terms(model, params, batch)
    return sum(terms.values()), terms

  return [
    jax.jit(full_float32(jax.grad(loss, has_aux=True)))(params)
    for loss in (plain, ours)
  ]


def params_of(model):
  tokens = jnp.zeros((1, 1), jnp.int32)
  first = (jnp.zeros((1, 3, 5)),) if isinstance(model, Captioner) else ()
  return random_params(model, *first, tokens)


@pytest.mark.parametrize("model", [CAPTIONER, LANGUAGE_MODEL, TRANSFORMER])
@pytest.mark.parametrize("num_devices", [None, 1, 2])
def test_losses_and_gradients_are_those_of_the_plain_definition(model, num_devices):
  (expected, terms), (found, our_terms) = both(
    model, params_of(model), make_batch(num_devices)
  )
  assert terms.keys() == our_terms.keys()
  for name, value in terms.items():
    np.testing.assert_allclose(our_terms[name], value, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), found, expected
  )


@pytest.mark.parametrize("model", [CAPTIONER, LANGUAGE_MODEL, TRANSFORMER])
def test_bfloat16_rounds_operands_and_keeps_gradients_in_float32(model):
  (expected, terms), (found, our_terms) = both(
    model, params_of(model), make_batch(1), "bfloat16"
  )
  for name, value in terms.items():
    assert 0 < abs(our_terms[name] - value) < 0.02 * value
  for ours, plain in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    assert ours.dtype == jnp.float32
    # bfloat16 has 8 significant bits; errors add up over ten steps.
    assert jnp.linalg.norm(ours - plain) <= 0.1 * jnp.linalg.norm(plain) + 1e-6


def test_dropout_depends_on_the_key_alone_and_not_on_what_the_output_layer_reads():
  objective = objectives.captioner_objective(CAPTIONER, pad_id=PAD)
  params = params_of(CAPTIONER)
  values = [
    objective(params, make_batch(num_devices), jax.random.key(key))["nll"].value
    for num_devices, key in [(None, 0), (1, 0), (2, 0), (None, 1)]
  ]
  np.testing.assert_allclose(values[1:3], values[0], rtol=1e-6)
  assert abs(values[3] - values[0]) > 1e-3
