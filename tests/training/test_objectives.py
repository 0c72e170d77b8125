"""Augmented features, and the objective of the word detectors."""

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.models.word_detectors import WordDetectors
from milan_jax._src.training.batches import Batch
from milan_jax._src.training.objectives import (
  Augmentation,
  augment,
  word_detectors_objective,
)

BATCH, K, SIZE = 40, 15, 64


def _features():
  rng = np.random.default_rng(0)
  return rng.standard_normal((BATCH, K, SIZE)).astype(np.float32)


def test_resampled_regions_are_the_units_own_and_some_come_twice():
  features = _features()
  found = np.asarray(
    augment(jnp.asarray(features), jax.random.key(1), Augmentation(resample=True))
  )
  shares = []
  for unit in range(BATCH):
    same = (found[unit][:, None] == features[unit][None]).all(-1)
    assert (same.sum(1) == 1).all()  # each is exactly one of the unit's regions
    shares.append(same.any(0).mean())
  # A draw with replacement leaves out (1 - 1/k)^k of them: 0.355 of 15.
  np.testing.assert_allclose(np.mean(shares), 1 - (1 - 1 / K) ** K, atol=0.03)


def test_noise_has_a_part_that_a_units_regions_share():
  features = np.zeros((400, K, SIZE), np.float32)
  found = np.asarray(
    augment(jnp.asarray(features), jax.random.key(2), Augmentation(noise=0.3))
  )
  shared = found.mean(1)
  own = found - shared[:, None]
  np.testing.assert_allclose(shared.std(), 0.3 * (1 + 1 / K) ** 0.5, rtol=0.03)
  np.testing.assert_allclose(own.std(), 0.3 * (1 - 1 / K) ** 0.5, rtol=0.03)


def test_the_same_key_augments_alike_and_another_does_not():
  features = jnp.asarray(_features())
  options = Augmentation(noise=0.5, resample=True)
  first = augment(features, jax.random.key(3), options)
  again = augment(features, jax.random.key(3), options)
  other = augment(features, jax.random.key(4), options)
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
  plain = augment(features, jax.random.key(3), Augmentation())
  np.testing.assert_array_equal(plain, features)


def test_swapped_regions_are_other_units_and_as_many_as_drawn():
  units, k, max_swapped = 300, 40, 0.6
  own = np.broadcast_to(np.arange(units)[:, None, None], (units, k, 1))
  found = np.asarray(
    augment(
      jnp.asarray(own, jnp.float32),
      jax.random.key(5),
      Augmentation(max_swapped=max_swapped),
    )
  )
  shares = (found != own).mean((1, 2))
  # A uniform fraction from 0 to `max_swapped`, and then each of k regions.
  spread = (max_swapped**2 / 12 + (max_swapped / 2 - max_swapped**2 / 3) / k) ** 0.5
  np.testing.assert_allclose(
    shares.mean(), max_swapped / 2, atol=4 * spread / units**0.5
  )
  np.testing.assert_allclose(shares.std(), spread, rtol=0.2)
  donors = found[found != own]
  assert len(np.unique(donors)) > 0.9 * units


def test_a_swapped_region_keeps_its_index():
  units, k = 50, 6
  indices = np.broadcast_to(np.arange(k)[None, :, None], (units, k, 1))
  found = augment(
    jnp.asarray(indices, jnp.float32),
    jax.random.key(6),
    Augmentation(max_swapped=1.0),
  )
  np.testing.assert_array_equal(found, indices)


def _word_batch(rng, words):
  """Six units and two rows that only fill the batch; with the numbers of words."""
  targets = np.full((8, 4), words + 1)
  for row, count in zip(targets, [3, 0, 1, 2, 3, 1, 2, 2], strict=True):
    row[:count] = rng.choice(words, count, replace=False)
    row[count] = words
  weights = np.array([1.0] * 6 + [0.0] * 2, np.float32)
  features = rng.normal(size=(8, 3, 5)).astype("f4")
  return Batch(np.zeros_like(targets), targets, weights, features)


def test_the_word_detectors_loss_is_the_cross_entropy_of_every_word():
  rng, words = np.random.default_rng(0), 7
  model = WordDetectors(words, 4)
  params = model.init(jax.random.key(0), jnp.zeros((1, 5)))["params"]
  batch = _word_batch(rng, words)
  found = word_detectors_objective(model)(params, batch, None)["nll"]
  logits = model.apply({"params": params}, jnp.asarray(batch.features.mean(1)))
  probs = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
  expected = 0.0
  for own, targets in zip(probs[:6], batch.targets[:6], strict=True):
    for word in range(words):
      expected -= np.log(own[word] if word in targets else 1 - own[word])
  np.testing.assert_allclose(found.total, expected, rtol=1e-5)
  assert found.number == 6


def test_networks_are_trained_apart_and_measured_together():
  rng, words = np.random.default_rng(0), 7
  model = WordDetectors(words, 4, dropout=0.0, hidden_layers=2, members=3)
  params = model.init(jax.random.key(0), jnp.zeros((1, 5)))["params"]
  batch = _word_batch(rng, words)
  alone = WordDetectors(words, 4, dropout=0.0, hidden_layers=2)
  each = [jax.tree.map(lambda x, m=m: x[m], params) for m in range(3)]
  in_training = word_detectors_objective(model)(params, batch, jax.random.key(1))
  own = [word_detectors_objective(alone)(one, batch, None)["nll"].total for one in each]
  np.testing.assert_allclose(in_training["nll"].total, np.mean(own), rtol=1e-5)

  measured = word_detectors_objective(model)(params, batch, None)["nll"]
  means = jnp.asarray(batch.features.mean(1))
  probs = np.mean(
    [
      1 / (1 + np.exp(-np.asarray(alone.apply({"params": p}, means), "f8")))
      for p in each
    ],
    axis=0,
  )
  said = np.array([[word in row for word in range(words)] for row in batch.targets])
  expected = -np.log(np.where(said, probs, 1 - probs)).sum(1)[:6].sum()
  np.testing.assert_allclose(measured.total, expected, rtol=1e-5)
  assert measured.total < in_training["nll"].total


def test_word_detectors_are_trained_with_dropout_and_augmented_features():
  rng, words = np.random.default_rng(1), 7
  model = WordDetectors(words, 4, dropout=0.0)
  params = model.init(jax.random.key(0), jnp.zeros((1, 5)))["params"]
  batch, key = _word_batch(rng, words), jax.random.key(2)

  def loss(model, **options):
    objective = word_detectors_objective(model, **options)
    return float(objective(params, batch, key)["nll"].value)

  plain = loss(model)
  without_key = word_detectors_objective(
    model.clone(dropout=0.5), augmentation=Augmentation(noise=0.5)
  )(params, batch, None)
  np.testing.assert_allclose(without_key["nll"].value, plain, rtol=1e-6)
  assert loss(model.clone(dropout=0.5)) != plain
  assert loss(model, augmentation=Augmentation(noise=0.5)) != plain
