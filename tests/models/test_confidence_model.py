"""Evidence and probabilities against plain loops."""

import math

import numpy as np
import pytest

from milan_jax._src.models.confidence_model import (
  EARLIER_EVIDENCE,
  ENOUGH_AGREEMENT,
  EVIDENCE,
  JUDGED_EVIDENCE,
  WIDEST_MARGIN,
  WORD_EVIDENCE,
  ConfidenceSpec,
  agreement,
  gather_evidence,
  probabilities,
  table,
)


def _cosine(one, other):
  return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def test_agreement_is_the_mean_cosine_of_all_pairs_and_of_the_nearest_third():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(4, 8, 5)) + 0.5
  found = agreement(features)
  for unit, (mean, near) in zip(features, found, strict=True):
    cosines = [
      [_cosine(unit[i], unit[j]) for j in range(8) if j != i] for i in range(8)
    ]
    np.testing.assert_allclose(mean, np.mean(cosines), atol=1e-12)
    # Of seven others, two are a third.
    best = [np.mean(sorted(row)[-2:]) for row in cosines]
    np.testing.assert_allclose(near, np.mean(best), atol=1e-12)


def test_regions_alike_agree_and_two_groups_agree_among_themselves():
  one, other = np.eye(2)
  alike = np.stack([one] * 6)
  halves = np.stack([one] * 3 + [other] * 3)
  found = agreement(np.stack([alike, halves, np.zeros((6, 2))]))
  # In two groups of three, two of five others are alike; the nearest is one of them.
  np.testing.assert_allclose(found, [[1, 1], [0.4, 1], [0, 0]], atol=1e-12)


def test_only_the_regions_that_count_agree():
  features = np.random.default_rng(0).normal(size=(5, 8, 5))
  counts = np.array([8, 3, 1, 3, 2])
  found = agreement(features, counts)
  for unit, count in enumerate(counts.tolist()):
    alone = agreement(features[unit : unit + 1, :count])
    np.testing.assert_array_equal(found[unit : unit + 1], alone)
  assert found[2].tolist() == [0, 0], "one region agrees with no other"


def test_evidence_has_its_order_and_no_margin_is_too_wide():
  found = gather_evidence(
    np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]),
    log_probs=np.array([-4.0, -2.0, -9.0]),
    lm_log_probs=np.array([-10.0, -3.0, -5.0]),
    margins=np.array([0.25, np.inf, -0.5]),
    num_tokens=np.array([4, 2, 0]),
  )
  expected = [
    [0.1, 0.2, 1.5, -1.0, 0.25, 6.0],
    [0.3, 0.4, 0.5, -1.0, WIDEST_MARGIN, 1.0],
    [0.5, 0.6, -4.0, -9.0, 0.0, -4.0],
  ]
  np.testing.assert_allclose(table(found, EARLIER_EVIDENCE), expected)
  # What is more similar than enough counts as enough.
  capped = [[0.1], [ENOUGH_AGREEMENT], [ENOUGH_AGREEMENT]]
  np.testing.assert_allclose(table(found, JUDGED_EVIDENCE), capped)
  with pytest.raises(ValueError, match="nothing, consensus"):
    table(found, EVIDENCE)
  with pytest.raises(ValueError, match="the words of"):
    table(found, WORD_EVIDENCE)


def test_probabilities_are_logistic():
  spec = ConfidenceSpec((1.0, -2.0), (2.0, 0.5), (0.7, -0.3), 0.25, threshold=0.5)
  evidence = np.array([[1.0, -2.0], [3.0, -1.0], [1e9, 0.0], [-1e9, 0.0]])
  found = probabilities(spec, evidence)
  for row, value in zip(evidence[:2], found[:2], strict=True):
    logit = 0.7 * (row[0] - 1) / 2 - 0.3 * (row[1] + 2) / 0.5 + 0.25
    assert math.isclose(value, 1 / (1 + math.exp(-logit)))
  assert 1 - 1e-12 < found[2] <= 1
  assert 0 <= found[3] < 1e-12
