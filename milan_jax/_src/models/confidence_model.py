"""How likely a description fits its unit: evidence, and the probability it gives.

The evidence of a unit is a few numbers that the search and the regions leave behind;
a logistic model that was fitted on units with known descriptions turns them into a
probability. Below its threshold nothing is said of the unit.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

NO_PATTERN = "No clear pattern"
EVIDENCE = (
  "agreement",
  "core",
  "information",
  "likelihood",
  "margin",
  "total",
)
# A margin beyond this, in nats, tells no more.
WIDEST_MARGIN = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class ConfidenceSpec:
  """A logistic model of whether a description fits.

  Attributes:
    centers: what is subtracted from each piece of evidence, in `EVIDENCE`'s order.
    scales: what it is then divided by.
    weights: the weight of each.
    bias: the log-odds where all evidence is at its center.
    threshold: the probability below which nothing is said.
  """

  centers: tuple[float, ...]
  scales: tuple[float, ...]
  weights: tuple[float, ...]
  bias: float
  threshold: float


def agreement(
  features: Float[np.ndarray, "units k features"],
  counts: Int[np.ndarray, "units"] | None = None,
) -> Float[np.ndarray, "units 2"]:
  """How alike a unit's regions are: mean cosine of all pairs, and of the closest ones.

  The second is the mean, over regions, of the cosine to the nearest third of the
  others: high for a unit of two concepts, whose regions agree with some others only.
  Both are 0 for a single region, which agrees with no other.

  Args:
    features: projected features of the regions, centered over a data set.
    counts: how many of a unit's regions count, its first ones; None for all.
  """
  if counts is not None:
    alike = np.empty((len(features), 2))
    for count in np.unique(counts):
      alike[counts == count] = agreement(features[counts == count, :count])
    return alike
  k = features.shape[1]
  if k == 1:
    return np.zeros((len(features), 2))
  norms = np.linalg.norm(features, axis=-1, keepdims=True)
  unit = features / np.maximum(norms, 1e-6)
  cosines = np.einsum("ukf,ulf->ukl", unit, unit)
  off = cosines[:, ~np.eye(k, dtype=bool)].reshape(len(features), k, k - 1)
  near = np.sort(off, axis=-1)[..., -max(1, (k - 1) // 3) :]
  return np.stack([off.mean((1, 2)), near.mean((1, 2))], -1)


def gather_evidence(
  alike: Float[np.ndarray, "units 2"],
  *,
  log_probs: Float[np.ndarray, "units"],
  lm_log_probs: Float[np.ndarray, "units"],
  margins: Float[np.ndarray, "units"],
  num_tokens: Int[np.ndarray, "units"],
) -> Float[np.ndarray, "units evidence"]:
  """The evidence of each unit, in `EVIDENCE`'s order.

  Args:
    alike: what `agreement` gives.
    log_probs: log p(description | regions), in nats.
    lm_log_probs: log p(description), in nats.
    margins: by how much the best description beats the next, in nats.
    num_tokens: tokens of each description, its stop included.
  """
  tokens = np.maximum(num_tokens, 1)
  return np.stack(
    [
      alike[:, 0],
      alike[:, 1],
      (log_probs - lm_log_probs) / tokens,
      log_probs / tokens,
      np.clip(margins, 0, WIDEST_MARGIN),
      log_probs - lm_log_probs,
    ],
    -1,
  )


def probabilities(
  spec: ConfidenceSpec, evidence: Float[np.ndarray, "units evidence"]
) -> Float[np.ndarray, "units"]:
  """The probability that each description fits."""
  scaled = (evidence - np.array(spec.centers)) / np.array(spec.scales)
  logits = scaled @ np.array(spec.weights) + spec.bias
  found: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
  return found
