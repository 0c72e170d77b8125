"""Losses, gradients and optimizer steps against the original's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.runs.precision import full_float32
from milan_jax._src.training import batches, losses, objectives, state, step
from tests.helpers.devices import tolerance
from tests.training import reference_models as models


@pytest.fixture(scope="module")
def recorded():
  return models.training_reference()


@pytest.fixture(scope="module")
def weights():
  return models.weights()


@pytest.fixture(scope="module")
def captioner_params(weights):
  return jax.tree.map(jnp.asarray, models.captioner_params(weights))


@pytest.fixture(scope="module")
def language_model_params(weights):
  own = {name[3:]: value for name, value in weights.items() if name.startswith("lm.")}
  return jax.tree.map(jnp.asarray, models.language_model_params(own))


def shifted(targets, features=None):
  """The batch whose targets are given: what is read is the target before."""
  first = np.full((len(targets), 1), models.START)
  inputs = np.concatenate([first, targets[:, :-1]], axis=1)
  return on_device(inputs, targets, np.ones(len(targets), np.float32), features)


def on_device(*arrays):
  return jax.tree.map(jnp.asarray, batches.Batch(*arrays))


def relative_error(actual, expected):
  return np.abs(actual - expected).max() / np.abs(expected).max()


CAPTIONER = objectives.captioner_objective(models.CAPTIONER, pad_id=models.PAD)
LANGUAGE_MODEL = objectives.language_model_objective(
  models.LANGUAGE_MODEL, pad_id=models.PAD
)


def terms_and_gradients(objective):
  """Compiles an objective: its terms and the gradients of their sum, no dropout."""

  def loss(params, batch):
    terms = objective(params, batch, None)
    return losses.sum_of_means(terms), terms

  @jax.jit
  @full_float32  # as the training step
  def found(params, batch):
    gradients, terms = jax.grad(loss, has_aux=True)(params, batch)
    return {name: mean.value for name, mean in terms.items()}, gradients

  return found


CAPTIONER_GRADIENTS = terms_and_gradients(CAPTIONER)
LANGUAGE_MODEL_GRADIENTS = terms_and_gradients(LANGUAGE_MODEL)


@pytest.mark.device
def test_four_steps_have_the_losses_of_the_original(recorded, captioner_params):
  arrays, _ = recorded
  batch = shifted(arrays["targets"], arrays["features"])
  # The recorded steps were taken without dropout.
  take = step.make_step(
    lambda params, batch, key: CAPTIONER(params, batch, None), state.make_optimizer()
  )
  train_state = state.start_state(
    jax.tree.map(jnp.copy, captioner_params), optimizer=state.make_optimizer(), seed=0
  )
  found = []
  for _ in arrays["losses_nll_reg_total"]:
    terms = losses.no_terms(("nll", "attention"))
    train_state, terms = take(train_state, terms, batch)
    nll, attention = terms["nll"].value, terms["attention"].value
    found.append((nll, attention, nll + attention))
  assert int(train_state.step) == 4
  np.testing.assert_allclose(
    found, arrays["losses_nll_reg_total"], rtol=tolerance(5e-6, 1e-4)
  )


@pytest.mark.device
def test_every_gradient_of_the_captioner_is_the_original_s(recorded, captioner_params):
  arrays, names = recorded
  batch = shifted(arrays["targets"], arrays["features"])
  _, found = CAPTIONER_GRADIENTS(captioner_params, batch)
  norms = dict(zip(names["grad_names"], arrays["grad_norms"], strict=True))
  norms = models.captioner_params({name: np.array(n) for name, n in norms.items()})
  # Softmax ignores a constant, so this gradient is rounding error on both sides.
  assert abs(float(found["attention"]["output"].pop("bias")[0])) < 1e-6
  del norms["attention"]["output"]["bias"]
  jax.tree.map(
    lambda g, norm: np.testing.assert_allclose(
      jnp.linalg.norm(g), norm, rtol=tolerance(2e-5, 1e-3)
    ),
    found,
    norms,
  )
  for name, ours in models.recorded_gradients(found).items():
    assert relative_error(ours, arrays[f"grad/{name}"]) < tolerance(5e-5, 1e-3), name


def test_the_captioner_learns_its_padding_embedding_as_the_original_does(
  recorded, captioner_params
):
  # What is read after the end moves the attention, which is penalised up to the end of
  # the longest caption.
  arrays, _ = recorded
  batch = shifted(arrays["targets"], arrays["features"])
  found = CAPTIONER_GRADIENTS(captioner_params, batch)[1]["embedding"]["embedding"]
  expected = arrays["grad/embedding.weight"][models.PAD]
  assert np.abs(expected).max() > 1e-5
  np.testing.assert_allclose(found[models.PAD], expected, rtol=1e-3, atol=1e-9)


@pytest.mark.device
def test_the_language_model_has_the_original_s_loss_and_gradients(
  recorded, language_model_params
):
  arrays, names = recorded
  ones = np.ones(len(arrays["lm_inputs"]), np.float32)
  batch = on_device(arrays["lm_inputs"], arrays["lm_targets"], ones)
  terms, found = LANGUAGE_MODEL_GRADIENTS(language_model_params, batch)
  np.testing.assert_allclose(
    terms["nll"], arrays["lm_loss"], rtol=tolerance(1e-6, 1e-5)
  )
  norms = dict(zip(names["lm_grad_names"], arrays["lm_grad_norms"], strict=True))
  norms = models.language_model_params({n: np.array(v) for n, v in norms.items()})
  jax.tree.map(
    lambda g, norm: np.testing.assert_allclose(
      jnp.linalg.norm(g), norm, rtol=tolerance(1e-5, 1e-3)
    ),
    found,
    norms,
  )


def test_the_language_model_s_padding_row_stays_zero(recorded, language_model_params):
  arrays, _ = recorded
  batch = shifted(arrays["targets"])
  assert (batch.inputs == models.PAD).any()
  take = step.make_step(LANGUAGE_MODEL, state.make_optimizer())
  train_state = state.start_state(
    jax.tree.map(jnp.copy, language_model_params),
    optimizer=state.make_optimizer(),
    seed=0,
  )
  for _ in range(3):
    train_state, _ = take(train_state, losses.no_terms(("nll",)), batch)
  table = train_state.params["embedding"]["embedding"]
  np.testing.assert_array_equal(table[models.PAD], np.zeros(table.shape[1]))
  before = language_model_params["embedding"]["embedding"]
  assert not np.array_equal(table[models.START], before[models.START])


@pytest.mark.device
def test_losses_by_hand():
  probs = np.full((2, 3, 4), 0.25, np.float32)
  for place, word, prob in [((0, 0), 1, 0.5), ((0, 1), 2, 0.25), ((1, 0), 2, 0.125)]:
    probs[place] = (1 - prob) / 3
    probs[place][word] = prob
  targets = jnp.array([[1, 2, 3], [2, 3, 3]])
  attentions = np.zeros((2, 3, 2), np.float32)
  attentions[0, :, 0] = [0.5, 0.25, 9]
  attentions[0, :, 1] = [0.5, 0.75, 9]
  attentions[1, :, 0] = [1, 1, 9]
  attentions, log_probs = jnp.asarray(attentions), jnp.log(probs)
  for weights, nll, penalty in (
    # Sums over two steps, the longest caption's: (.75, 1.25) and (2, 0).
    ([1.0, 1.0], np.log(64) / 3, np.mean([0.25**2, 0.25**2, 1, 1])),
    # Alone, the second caption is the longest: one step, (1, 0).
    ([0.0, 1.0], np.log(8), 0.5),
  ):
    weights = jnp.array(weights)
    mask = losses.token_mask(targets, weights, pad_id=3)
    np.testing.assert_allclose(
      losses.token_nll(log_probs, targets, mask).value, nll, rtol=tolerance(1e-6, 1e-5)
    )
    found = losses.attention_penalty(attentions, mask, weights)
    np.testing.assert_allclose(found.value, penalty, rtol=tolerance(1e-6, 1e-5))


def test_padding_changes_no_loss_and_no_gradient(recorded, captioner_params):
  arrays, _ = recorded
  batch = shifted(arrays["targets"], arrays["features"])
  rows, steps = 3, 5
  padded = on_device(
    *(
      np.pad(x, ((0, rows), (0, steps)), constant_values=models.PAD) for x in batch[:2]
    ),
    np.pad(batch.weights, (0, rows)),
    np.pad(batch.features, ((0, rows), (0, 0), (0, 0))),
  )
  terms, found = CAPTIONER_GRADIENTS(captioner_params, batch)
  padded_terms, padded_found = CAPTIONER_GRADIENTS(captioner_params, padded)
  for name, value in terms.items():
    np.testing.assert_allclose(value, padded_terms[name], rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), found, padded_found
  )


def test_adamw_is_torch_s():
  torch = pytest.importorskip("torch")
  values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
  theirs = torch.nn.Parameter(torch.tensor(values.copy()))
  optimizer = torch.optim.AdamW([theirs])
  train_state = state.start_state(
    jnp.asarray(values), optimizer=state.make_optimizer(), seed=0
  )
  params, opt_state = train_state.params, train_state.opt_state
  for i in range(5):
    gradient = np.cos(values * (i + 1))
    theirs.grad = torch.tensor(gradient)
    optimizer.step()
    updates, opt_state = state.make_optimizer().update(
      jnp.asarray(gradient), opt_state, params
    )
    params = params + updates
    np.testing.assert_allclose(params, theirs.detach().numpy(), rtol=1e-6)


def test_the_learning_rate_falls_along_torch_s_cosine():
  torch = pytest.importorskip("torch")
  values = np.random.default_rng(1).normal(size=5).astype(np.float32)
  theirs = torch.nn.Parameter(torch.tensor(values.copy()))
  reference = torch.optim.AdamW([theirs], lr=0.02)
  schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=6)
  ours = state.make_optimizer(0.02, decay_steps=6)
  params, opt_state = jnp.asarray(values), ours.init(jnp.asarray(values))
  for i in range(6):
    gradient = np.cos(values * (i + 1))
    theirs.grad = torch.tensor(gradient)
    reference.step()
    schedule.step()
    updates, opt_state = ours.update(jnp.asarray(gradient), opt_state, params)
    params = params + updates
    np.testing.assert_allclose(params, theirs.detach().numpy(), rtol=1e-5)
  updates, _ = ours.update(jnp.ones(5), opt_state, params)
  np.testing.assert_allclose(updates, 0, atol=1e-9)  # and stays there
