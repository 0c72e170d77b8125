"""Counted operations against formulas, and the step named at which losses end."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.training import batches, finite_losses, losses, throughput
from milan_jax._src.training import step as steps
from tests.training import test_loop


def _counted(function, *arguments):
  return throughput.product_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_a_product_s_operations():
  found = _counted(
    lambda a, b: jnp.einsum("bij,bjk->bik", a, b),
    jnp.ones((5, 2, 3)),
    jnp.ones((5, 3, 7)),
  )
  assert found == 2 * 5 * 2 * 3 * 7


def test_a_recurrence_counts_each_step_and_its_gradients():
  def loss(kernel, start):
    def take(carry, _):
      return jnp.tanh(carry @ kernel), None

    return jax.lax.scan(take, start, None, length=11)[0].sum()

  arguments = jnp.ones((4, 4)), jnp.ones((3, 4))
  forward = 11 * 2 * 3 * 4 * 4
  assert _counted(jax.jit(loss), *arguments) == forward
  # Backward: the gradient of the state and that of the kernel.
  assert _counted(jax.grad(jax.jit(loss)), *arguments) == 3 * forward


def test_rates_are_of_the_steps_since_the_start(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])
  kind = jax.devices()[0].device_kind
  monkeypatch.setitem(throughput.PEAKS, kind, 1000.0)

  def objective(params, batch, key):
    return {"nll": losses.Mean((batch.features[:, 0] @ params).sum(), jnp.ones(()))}

  mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
  take = steps.make_step(objective, optax.sgd(0.1))
  meter = throughput.Meter(take, mesh)
  batch = batches.Batch(
    np.zeros((4, 8), int),
    np.zeros((4, 8), int),
    np.ones(4, "f4"),
    np.ones((4, 1, 5), "f4"),
  )
  params = jnp.ones((5, 2))
  train_state = steps.state.start_state(params, optimizer=optax.sgd(0.1), seed=0)
  meter.count(train_state, losses.no_terms(("nll",)), batch)
  meter.start()
  for _ in range(3):
    meter.count(train_state, losses.no_terms(("nll",)), batch)
  now[0] += 6
  # The product and the gradient of the weights: 4 x 5 x 2 each.
  rate = 3 * 2 * (2 * 4 * 5 * 2) / 6
  assert meter.read() == (6.0, 2.0, rate, rate / 1000)


@pytest.mark.parametrize("bad", [1, 3, finite_losses.DELAY + 2])
def test_the_first_step_whose_losses_are_not_finite_is_named(bad):
  check = finite_losses.FiniteLosses(epoch=2, step=40)
  with pytest.raises(UserError, match=rf"step {40 + bad} \(epoch 2\) are not finite"):
    for number in range(1, bad + 5):
      value = np.nan if number >= bad else 1.0
      check.add({"nll": losses.Mean(jnp.asarray(value), jnp.ones(()))})
    check.finish()


def test_nothing_is_saved_after_a_step_that_is_not_finite():
  kept = test_loop.Kept()

  def objective(params, batch, key):
    terms = test_loop.objective(params, batch, key)
    total = jnp.where(params > 1.5, jnp.nan, terms["nll"].total)
    return {"nll": losses.Mean(total, terms["nll"].number)}

  weights, _ = test_loop.path(4)
  step = int((weights > 1.5).argmax()) + 1
  with pytest.raises(UserError, match=rf"step {step} \(epoch 2\)"):
    test_loop.fit(kept, objective=objective, max_epochs=4, checkpoint_every=1)
  assert max(kept.values) == step - 1
