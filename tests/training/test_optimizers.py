"""Optimizers and schedules against the same computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.options.train import OptimizerOptions
from milan_jax._src.store.training_checkpoints import TrainingCheckpoints
from milan_jax._src.training import state
from milan_jax._src.training.training_job import scaled_rate

PARAMS = {"a": np.array([3.0, -4.0]), "b": np.array([[1.0], [2.0]])}
GRADIENTS = [
  {"a": np.array([0.5, 2.0]), "b": np.array([[-1.0], [4.0]])},
  {"a": np.array([1.5, -1.0]), "b": np.array([[0.5], [0.25]])},
  {"a": np.array([-2.0, 0.5]), "b": np.array([[3.0], [-6.0]])},
  {"a": np.array([1.0, 1.0]), "b": np.array([[2.0], [0.5]])},
]
DECAY = 0.1


def _updated(gradients, **options):
  optimizer = state.make_optimizer(weight_decay=DECAY, **options)
  params = jax.tree.map(jnp.asarray, PARAMS)
  moments = optimizer.init(params)
  path = []
  for each in gradients:
    updates, moments = optimizer.update(
      jax.tree.map(jnp.asarray, each), moments, params
    )
    params = jax.tree.map(jnp.add, params, updates)
    path.append(params)
  return path


def _by_hand(gradients, rates, *, lamb=False):
  """AdamW or LAMB in float64."""
  params = {name: value.astype(np.float64) for name, value in PARAMS.items()}
  first = {name: np.zeros_like(value) for name, value in params.items()}
  second = {name: np.zeros_like(value) for name, value in params.items()}
  path = []
  for number, (each, rate) in enumerate(zip(gradients, rates, strict=True), 1):
    for name, gradient in each.items():
      first[name] = 0.9 * first[name] + 0.1 * gradient
      second[name] = 0.999 * second[name] + 0.001 * gradient**2
      mean, square = first[name] / (1 - 0.9**number), second[name] / (1 - 0.999**number)
      change = mean / (np.sqrt(square) + (1e-6 if lamb else 1e-8))
      change = change + DECAY * params[name]
      if lamb:
        change *= np.linalg.norm(params[name]) / np.linalg.norm(change)
      params[name] = params[name] - rate * change
    path.append(dict(params))
  return path


def _check(found, expected):
  assert len(found) == len(expected)
  for one, other in zip(found, expected, strict=True):
    for name in PARAMS:
      np.testing.assert_allclose(one[name], other[name], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["adamw", "lamb"])
def test_updates_are_those_computed_by_hand(rule):
  found = _updated(GRADIENTS, learning_rate=0.05, update_rule=rule)
  _check(found, _by_hand(GRADIENTS, [0.05] * 4, lamb=rule == "lamb"))


def test_the_first_hundred_updates_are_exact_in_float32():
  optimizer = state.make_optimizer(1.0, 0.0)
  gradients = {"a": jnp.asarray([0.5, -2.0])}
  update, moments = jax.jit(optimizer.update), optimizer.init(gradients)
  for number in range(1, 101):
    updates, moments = update(gradients, moments, gradients)
    # Both means of a constant gradient are exact, once they are corrected.
    np.testing.assert_allclose(updates["a"], [-1, 1], rtol=1e-6, err_msg=f"{number}")


@pytest.mark.parametrize("rule", ["adamw", "lamb"])
def test_the_state_is_that_of_optax(rule):
  """A run of an earlier version, with optax's own rule, can be resumed."""
  params = jax.tree.map(jnp.asarray, PARAMS)
  theirs = {"adamw": optax.adamw, "lamb": optax.lamb}[rule](1e-3).init(params)
  ours = state.make_optimizer(update_rule=rule).init(params)
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)


def test_the_rate_rises_to_its_value_and_then_falls_along_a_cosine():
  found = _updated(GRADIENTS, learning_rate=0.3, warmup_steps=3)
  _check(found, _by_hand(GRADIENTS, [0.1, 0.2, 0.3, 0.3]))
  found = _updated(GRADIENTS, learning_rate=0.3, warmup_steps=1, decay_steps=3)
  _check(found, _by_hand(GRADIENTS, [0.3, 0.3, 0.15, 0.0]))


def test_a_warm_up_longer_than_the_run_is_refused():
  with pytest.raises(UserError, match="warmup_steps=8: expected fewer than the 8"):
    state.make_optimizer(warmup_steps=8, decay_steps=8)


def test_a_gradient_is_cut_to_the_global_norm():
  cut = []
  for each in GRADIENTS:
    norm = np.sqrt(sum((value**2).sum() for value in each.values()))
    cut.append({name: value * min(1, 3 / norm) for name, value in each.items()})
  # The first is longer than 3, the second is not.
  assert cut[0]["a"][0] < 0.5 and cut[1]["a"][0] == 1.5
  _check(_updated(GRADIENTS, clip_norm=3.0), _by_hand(cut, [1e-3] * 4))


def test_accumulated_steps_are_one_update_by_their_mean():
  found = _updated(GRADIENTS, learning_rate=0.05, accumulate_steps=2, warmup_steps=2)
  means = [
    jax.tree.map(lambda one, other: (one + other) / 2, *pair)
    for pair in (GRADIENTS[:2], GRADIENTS[2:])
  ]
  expected = _by_hand(means, [0.025, 0.05])
  _check(found, [PARAMS, expected[0], expected[0], expected[1]])


def test_a_checkpoint_holds_what_is_accumulated(tmp_path):
  optimizer = state.make_optimizer(
    0.05, accumulate_steps=3, clip_norm=1.0, update_rule="lamb", warmup_steps=2
  )
  params = jax.tree.map(jnp.asarray, PARAMS)
  begun = state.start_state(params, optimizer=optimizer, seed=0)
  _, moments = optimizer.update(
    jax.tree.map(jnp.asarray, GRADIENTS[0]), begun.opt_state, params
  )
  saved = begun._replace(opt_state=moments)
  with TrainingCheckpoints(tmp_path) as checkpoints:
    checkpoints.save(1, saved, {})
    restored, _ = checkpoints.restore(1, begun)
  assert jax.tree.structure(restored) == jax.tree.structure(saved)
  for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(saved), strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  ("rule", "expected"), [("none", 2e-3), ("linear", 16e-3), ("sqrt", 2e-3 * 8**0.5)]
)
def test_the_rate_follows_the_captions_per_update(rule, expected):
  options = OptimizerOptions(learning_rate=2e-3, rate_scaling=rule, accumulate_steps=4)
  assert scaled_rate(options, 128, 64) == pytest.approx(expected)
