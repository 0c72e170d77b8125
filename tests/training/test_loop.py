"""The loop on a loss that can be followed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from milan_jax._src.training import batches, loop, losses, state, step

RATE, GOAL, HELD_OUT_GOAL, BATCHES = 0.01, 10.0, 3.0, 4


class Kept:
  """Checkpoints in memory."""

  def __init__(self):
    self.values = {}

  def latest(self):
    return max(self.values, default=None)

  def save(self, step, arrays, progress):
    assert step not in self.values
    self.values[step] = jax.tree.map(np.asarray, arrays), progress

  def restore(self, step, like):
    arrays, progress = self.values[step]
    return jax.tree.map(lambda a, b: jax.device_put(a, b.sharding), arrays, like), (
      progress
    )


def objective(params, batch, key):
  """Training pulls toward one number; what is held out would like another."""
  goal = HELD_OUT_GOAL if key is None else GOAL
  number = batch.weights.sum()
  return {"nll": losses.Mean(number * jnp.square(params - goal), number)}


def fit(kept, hooks=None, objective=objective, **options):
  tokens = np.array([[0, 1, 2]] * 2 * BATCHES)
  samples = batches.Samples(tokens, np.arange(2 * BATCHES))
  trainer = loop.Trainer(
    objective, terms=("nll",), optimizer=optax.sgd(RATE), batch_size=2, pad_id=9
  )
  return trainer.fit(
    jnp.zeros(()),
    training=samples,
    validation=samples,
    checkpoints=kept,
    options=loop.FitOptions(**options),
    hooks=hooks,
  )


def path(num_epochs):
  """Weight after each step, and the loss before each, in float64."""
  weights, before = [0.0], []
  for _ in range(num_epochs * BATCHES):
    before.append((weights[-1] - GOAL) ** 2)
    weights.append(weights[-1] - RATE * 2 * (weights[-1] - GOAL))
  return np.array(weights), np.array(before).reshape(num_epochs, BATCHES)


def test_the_best_epoch_is_kept_and_the_fifth_after_it_is_the_last():
  fitted = fit(Kept(), max_epochs=100, patience=4)
  weights, before = path(20)
  held_out = (weights[BATCHES::BATCHES] - HELD_OUT_GOAL) ** 2
  best = int(held_out.argmin())
  assert best > 0
  assert len(fitted.epochs) == best + 1 + 5
  assert [epoch.epoch for epoch in fitted.epochs] == list(range(best + 6))
  assert [epoch.improved for epoch in fitted.epochs] == [True] * (best + 1) + [
    False
  ] * 5
  np.testing.assert_allclose(fitted.params, weights[(best + 1) * BATCHES], rtol=1e-5)
  for epoch, losses_before, loss in zip(fitted.epochs, before, held_out, strict=False):
    np.testing.assert_allclose(epoch.training["loss"], losses_before.mean(), rtol=1e-5)
    np.testing.assert_allclose(epoch.validation["loss"], loss, rtol=1e-4)


def _two_terms(params, batch, key):
  """What is held out has a penalty that would like yet another number."""
  terms = objective(params, batch, key)
  number = batch.weights.sum()
  goal = GOAL if key is not None else HELD_OUT_GOAL + 5
  return terms | {
    "attention": losses.Mean(3 * number * jnp.square(params - goal), number)
  }


@pytest.mark.parametrize("stop_by", ["nll", "bleu"])
def test_it_stops_by_what_it_is_told_and_by_no_penalty(stop_by):
  tokens = np.array([[0, 1, 2]] * 2 * BATCHES)
  samples = batches.Samples(tokens, np.arange(2 * BATCHES))
  trainer = loop.Trainer(
    _two_terms,
    terms=("nll", "attention"),
    optimizer=optax.sgd(RATE),
    batch_size=2,
    pad_id=9,
  )
  kept = Kept()

  def run(max_epochs):
    return trainer.fit(
      jnp.zeros(()),
      training=samples,
      validation=samples,
      checkpoints=kept,
      options=loop.FitOptions(stop_by=stop_by, max_epochs=max_epochs),
      # Best at a number of its own.
      hooks=loop.FitHooks(lambda params: {"bleu": 50 - abs(float(params) - 9)}),
    )

  run(2)
  fitted = run(100)
  # All weights at the ends of epochs, the first 2 of them of the run before.
  weights = [0.0]
  for _ in range(len(fitted.epochs) * BATCHES):
    weights.append(weights[-1] - RATE * 8 * (weights[-1] - GOAL))
  ends = np.array(weights[BATCHES::BATCHES])
  goal = HELD_OUT_GOAL if stop_by == "nll" else 9
  best = int(np.abs(ends - goal).argmin())
  losses_of_all = [epoch.validation["loss"] for epoch in fitted.epochs]
  assert int(np.argmin(losses_of_all)) != best, "the sum would have chosen another"
  np.testing.assert_allclose(fitted.params, ends[best], rtol=1e-5)
  assert len(fitted.epochs) == best + 1 + 5
  assert [epoch.improved for epoch in fitted.epochs].count(True) == best + 1
  for epoch in fitted.epochs:
    terms = epoch.validation
    assert terms["loss"] == pytest.approx(terms["nll"] + terms["attention"])


def test_a_number_of_epochs_is_a_limit():
  assert len(fit(Kept(), max_epochs=2).epochs) == 2


class Stopped(Exception):  # noqa: N818
  """Ends a run from inside."""


@pytest.mark.parametrize("stop_at", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("checkpoint_every", [1, 3, 100])
def test_going_on_gives_what_an_unbroken_run_gives(stop_at, checkpoint_every):
  options = {"max_epochs": 4, "checkpoint_every": checkpoint_every}
  whole = fit(Kept(), **options)
  kept, calls = Kept(), []

  def stop(done, total):
    calls.append((done, total))
    if len(calls) == stop_at:
      raise Stopped

  with pytest.raises(Stopped):
    fit(kept, loop.FitHooks(progress=stop), **options)
  resumed = fit(kept, loop.FitHooks(progress=stop), **options)
  assert float(resumed.params) == float(whole.params)
  assert [e.training for e in resumed.epochs] == [e.training for e in whole.epochs]
  assert [e.validation for e in resumed.epochs] == [e.validation for e in whole.epochs]
  assert calls[-1] == (BATCHES, BATCHES)
  # At most the steps since the last checkpoint were taken twice.
  assert len(calls) - 4 * BATCHES <= min(checkpoint_every, BATCHES)


def test_every_epoch_sees_all_captions_in_an_order_of_its_own(monkeypatch):
  seen = []

  def gather(rows):
    return rows.astype(np.float32)[:, None, None]

  def shard(batch, mesh):
    # Batches are read by threads, and arrive here in their order.
    seen.extend(batch.features[batch.weights == 1, 0, 0].tolist())
    return sharded(batch, mesh)

  sharded = step.shard
  monkeypatch.setattr(step, "shard", shard)

  def run(kept, max_epochs):
    trainer = loop.Trainer(
      objective,
      terms=("nll",),
      optimizer=optax.sgd(RATE),
      batch_size=5,
      pad_id=9,
      gather=gather,
    )
    samples = batches.Samples(np.zeros((20, 3), int), np.arange(20))
    held_out = batches.Samples(np.zeros((1, 3), int), np.array([99]))
    trainer.fit(
      jnp.zeros(()),
      training=samples,
      validation=held_out,
      checkpoints=kept,
      options=loop.FitOptions(max_epochs=max_epochs),
    )

  run(Kept(), 3)
  epochs = [seen[start : start + 20] for start in (0, 21, 42)]
  assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) == 3
  whole = list(seen)
  seen.clear()
  kept = Kept()
  run(kept, 2)
  run(kept, 3)
  assert seen == whole


def test_dropout_differs_from_step_to_step_and_not_from_run_to_run():
  def noise(params, batch, key):
    return {"nll": losses.Mean(jax.random.uniform(key) + 0 * params, jnp.ones(()))}

  take = step.make_step(noise, optax.sgd(RATE))
  batch = batches.Batch(np.zeros((1, 2), int), np.zeros((1, 2), int), np.ones(1, "f4"))

  def drawn(seed):
    train_state = state.start_state(jnp.zeros(()), optimizer=optax.sgd(RATE), seed=seed)
    found = []
    for _ in range(3):
      train_state, terms = take(train_state, losses.no_terms(("nll",)), batch)
      found.append(float(terms["nll"].value))
    return found

  assert drawn(0) == drawn(0)
  assert len({*drawn(0), *drawn(1)}) == 6


def test_a_finished_run_takes_no_step():
  kept = Kept()
  whole = fit(kept, max_epochs=2)
  hooks = loop.FitHooks(progress=lambda *_: pytest.fail("a step"))
  again = fit(kept, hooks, max_epochs=2)
  assert float(again.params) == float(whole.params)
  assert again.epochs == whole.epochs
