"""The fitted confidence against scikit-learn's, and its threshold."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from milan_jax._src.models import confidence_model as confidence
from milan_jax._src.training.fit_confidence import (
  MAX_REFUSED,
  RIDGE,
  fit_confidence,
  fit_probability,
)


def _units(number=400, seed=0):
  """Units whose evidence tells a little of whether their description is right."""
  rng = np.random.default_rng(seed)
  negative = rng.random(number) < 0.2
  evidence = rng.normal(size=(number, 6)) * [1, 2, 0.1, 5, 1, 30] + [0, 1, 2, -9, 4, 50]
  evidence[negative, 0] -= 2
  logits = 1.5 * evidence[:, 0] - 0.05 * (evidence[:, 5] - 50) + 0.4
  right = (rng.random(number) < 1 / (1 + np.exp(-logits))) & ~negative
  return evidence, right, negative


def _named(evidence):
  return dict(zip(confidence.EARLIER_EVIDENCE, evidence.T, strict=True))


def test_weights_equal_those_of_scikit_learn():
  evidence, right, negative = _units()
  found = fit_confidence(_named(evidence), right, negative)
  np.testing.assert_allclose(found.centers, evidence.mean(0))
  np.testing.assert_allclose(found.scales, evidence.std(0))
  scaled = (evidence - evidence.mean(0)) / evidence.std(0)
  # The ridge is beside the mean loss; scikit-learn's C multiplies the sum of losses.
  other = LogisticRegression(C=1 / (RIDGE * len(right)), tol=1e-10, max_iter=1000)
  other.fit(scaled, right)
  np.testing.assert_allclose(found.weights, other.coef_[0], atol=1e-5)
  np.testing.assert_allclose(found.bias, other.intercept_[0], atol=1e-5)
  np.testing.assert_allclose(
    confidence.probabilities(found, evidence),
    other.predict_proba(scaled)[:, 1],
    atol=1e-6,
  )


def test_the_loss_is_level_where_it_was_fitted():
  evidence, right, negative = _units(120, seed=1)
  spec = fit_confidence(_named(evidence), right, negative)
  point = np.array([*spec.weights, spec.bias])
  scaled = (evidence - spec.centers) / spec.scales

  def loss(weights):
    logits = scaled @ weights[:-1] + weights[-1]
    signed = np.where(right, logits, -logits)
    return np.log1p(np.exp(-signed)).mean() + RIDGE / 2 * (weights[:-1] ** 2).sum()

  for axis in np.eye(7):
    assert abs(loss(point + 1e-4 * axis) - loss(point - 1e-4 * axis)) < 1e-10
    assert loss(point) < loss(point + 0.05 * axis)


def test_the_threshold_refuses_so_many_units_of_something():
  evidence, right, negative = _units()
  spec = fit_confidence(_named(evidence), right, negative)
  found = confidence.probabilities(spec, evidence)
  refused = found < spec.threshold
  of_something = np.sort(found[~negative])
  place = int(MAX_REFUSED * (len(of_something) - 1))
  assert spec.threshold == of_something[place]
  assert refused[~negative].mean() <= MAX_REFUSED
  assert refused[~negative].mean() > MAX_REFUSED - 2 / len(of_something)
  assert refused[negative].mean() > 2 * MAX_REFUSED


def test_evidence_that_never_varies_and_units_all_alike_are_no_errors():
  evidence, right, negative = _units(60)
  evidence[:, 2] = 7
  spec = fit_confidence(_named(evidence), right, negative)
  assert np.isfinite([*spec.weights, spec.bias, spec.threshold]).all()
  assert spec.weights[2] == pytest.approx(0, abs=1e-6)
  every = np.ones(60, bool)
  sure = fit_confidence(_named(evidence), every, ~every)
  assert confidence.probabilities(sure, evidence).min() > 0.9
  none = fit_confidence(_named(evidence), ~every, every)
  assert none.threshold == 0


def test_the_consensus_counts_where_it_is_known():
  evidence, right, negative = _units(60)
  known = _named(evidence) | {"nothing": evidence[:, 0], "consensus": evidence[:, 1]}
  known["log_prob"] = evidence[:, 2]
  spec = fit_confidence(known, right, negative)
  assert spec.evidence == confidence.EVIDENCE == ("log_prob", "nothing", "consensus")
  columns = evidence[:, [2, 0, 1]]
  np.testing.assert_allclose(spec.centers, columns.mean(0))
  without = fit_confidence(_named(evidence), right, negative)
  assert without.evidence == confidence.EARLIER_EVIDENCE


def test_half_right_is_right_with_half_the_weight_and_wrong_with_the_other():
  evidence, _, _ = _units(90, seed=3)
  right = np.random.default_rng(0).integers(0, 3, 90) / 2
  found = fit_probability(_named(evidence), right)
  assert found.threshold == 0
  scaled = (evidence - evidence.mean(0)) / evidence.std(0)
  other = LogisticRegression(C=1 / (RIDGE * len(right)), tol=1e-10, max_iter=1000)
  other.fit(
    np.concatenate([scaled, scaled]),
    np.repeat([1, 0], 90),
    sample_weight=np.concatenate([right, 1 - right]),
  )
  np.testing.assert_allclose(found.weights, other.coef_[0], atol=1e-5)
  np.testing.assert_allclose(found.bias, other.intercept_[0], atol=1e-5)
