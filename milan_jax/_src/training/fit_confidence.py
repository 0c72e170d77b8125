"""Fits the confidence of descriptions on units with known truth."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from milan_jax._src.models.confidence_model import (
  EARLIER_EVIDENCE,
  EVIDENCE,
  ConfidenceSpec,
  probabilities,
  table,
)

# Weight of the L2 regularization, relative to the mean loss per unit.
RIDGE = 1e-3
STEPS = 60
# Maximum fraction of positive units that the threshold refuses.
MAX_REFUSED = 0.04


def fit_confidence(
  evidence: Mapping[str, Float[np.ndarray, "units"]],
  right: Bool[np.ndarray, "units"],
  negative: Bool[np.ndarray, "units"],
) -> ConfidenceSpec:
  """Fits a logistic model, and its threshold.

  Args:
    evidence: as for `fit_probability`.
    right: whether each unit's description fits; always false for a negative.
    negative: units without a pattern, for which every description is wrong.

  Returns:
    The model. Its threshold refuses as many negatives as possible while it refuses at
    most the fraction `MAX_REFUSED` of the other units.
  """
  spec = fit_probability(evidence, right.astype(float))
  found = probabilities(spec, table(evidence, spec.evidence))
  of_something = found[~negative]
  threshold = 0.0
  if len(of_something):
    threshold = float(np.quantile(of_something, MAX_REFUSED, method="lower"))
  return dataclasses.replace(spec, threshold=threshold)


def fit_probability(
  evidence: Mapping[str, Float[np.ndarray, "units"]],
  right: Float[np.ndarray, "units"],
  names: tuple[str, ...] | None = None,
) -> ConfidenceSpec:
  """Fits a logistic model by Newton's method, without a threshold (0).

  Args:
    evidence: what `milan_jax._src.models.confidence_model.gather_evidence` gives. Of
      captioners that do not search with a beam the consensus is unknown: without
      `names`, the model is then of the earlier evidence.
    right: how far each unit's description is right, from 0 to 1. The loss is the cross
      entropy, so that half right counts as right with half the weight, and as wrong
      with the other half.
    names: the evidence to use; None for `EVIDENCE`.
  """
  if names is None:
    is_known = set(EVIDENCE) <= set(evidence)
    names = EVIDENCE if is_known else EARLIER_EVIDENCE
  columns = table(evidence, names)
  centers = columns.mean(0)
  scales = np.maximum(columns.std(0), 1e-6)
  design = np.concatenate([(columns - centers) / scales, np.ones((len(columns), 1))], 1)
  ridge = RIDGE * len(right) * np.eye(design.shape[1])
  ridge[-1, -1] = 0
  weights = np.zeros(design.shape[1])
  for _ in range(STEPS):
    fitted = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
    slope = design.T @ (fitted - right) + ridge @ weights
    curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design + ridge
    step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
    weights = weights - step
    if np.abs(step).max() < 1e-9:
      break
  return ConfidenceSpec(
    centers=tuple(map(float, centers)),
    scales=tuple(map(float, scales)),
    weights=tuple(map(float, weights[:-1])),
    bias=float(weights[-1]),
    threshold=0.0,
    evidence=names,
  )
