"""The confidence of a description: the probability that it fits its unit.

The evidence of a unit is a few numbers from the search and the regions. A logistic
model, fitted on units with known truths, converts them to a probability. Below its
threshold the description is withheld.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

NO_PATTERN = "No clear pattern"
# What a confidence is fitted on now, and what earlier releases go by.
EVIDENCE = ("log_prob", "nothing", "consensus")
EARLIER_EVIDENCE = (
  *("agreement", "core", "information", "likelihood", "margin", "total"),
)
# Evidence of captioners with word detectors.
WORD_EVIDENCE = ("words",)
# Evidence of fits on judged units.
JUDGED_EVIDENCE = ("capped_agreement",)
# Larger margins, in nats, are clipped to this.
WIDEST_MARGIN = 3.0
# Regions that are more similar than this have something in common: how similar they are
# says no more of whether a description is right.
ENOUGH_AGREEMENT = 0.12


@dataclasses.dataclass(frozen=True, slots=True)
class ConfidenceSpec:
  """A logistic model of whether a description fits.

  Attributes:
    centers: the mean that is subtracted from each number, in the order of `evidence`.
    scales: the scale that each is then divided by.
    weights: the weight of each.
    bias: the log-odds if all numbers are at their centers.
    threshold: the probability below which the description is withheld.
    evidence: names of the numbers; see `gather_evidence`.
  """

  centers: tuple[float, ...]
  scales: tuple[float, ...]
  weights: tuple[float, ...]
  bias: float
  threshold: float
  evidence: tuple[str, ...] = EARLIER_EVIDENCE


def agreement(
  features: Float[np.ndarray, "units k features"],
  counts: Int[np.ndarray, "units"] | None = None,
) -> Float[np.ndarray, "units 2"]:
  """Returns the similarity of a unit's regions: the mean cosine of all and near pairs.

  The second is the mean, over regions, of the cosine to the nearest third of the
  others. It is high for a unit with two concepts, whose regions resemble only some
  others. Both are 0 for a single region.

  Args:
    features: projected features of the regions, centered over a data set.
    counts: number of each unit's leading regions to use; None for all.
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
  nothing: Float[np.ndarray, "units"] | None = None,
  consensus: Float[np.ndarray, "units"] | None = None,
  words: Float[np.ndarray, "units"] | None = None,
) -> dict[str, Float[np.ndarray, "units"]]:
  """The evidence of each unit, by name.

  Args:
    alike: the result of `agreement`: "agreement" and "core"; the first, up to
      `ENOUGH_AGREEMENT`, is "capped_agreement".
    log_probs: log p(description | regions), in nats: "log_prob", and "likelihood" a
      token.
    lm_log_probs: log p(description), in nats: the first less this is "total", and
      "information" a token.
    margins: by how much the best description beats the next, in nats: "margin".
    num_tokens: tokens of each description, its stop included.
    nothing: log share of the beam that says nothing: "nothing". None if unknown.
    consensus: log of the beam's agreement with the description: "consensus". None if
      unknown.
    words: mean log p(word | regions) of each description's content words by the word
      detectors: "words". None without detectors.
  """
  tokens = np.maximum(num_tokens, 1)
  found = {
    "agreement": alike[:, 0],
    "capped_agreement": np.minimum(alike[:, 0], ENOUGH_AGREEMENT),
    "core": alike[:, 1],
    "information": (log_probs - lm_log_probs) / tokens,
    "likelihood": log_probs / tokens,
    "log_prob": log_probs,
    "margin": np.clip(margins, 0, WIDEST_MARGIN),
    "total": log_probs - lm_log_probs,
  }
  if nothing is not None and consensus is not None:
    found |= {"nothing": nothing, "consensus": consensus}
  if words is not None:
    found["words"] = words
  return found


def table(
  evidence: Mapping[str, Float[np.ndarray, "units"]], names: Sequence[str]
) -> Float[np.ndarray, "units evidence"]:
  """Some pieces of evidence as columns.

  Raises:
    ValueError: if one of them is not known.
  """
  missing = [name for name in names if name not in evidence]
  if missing:
    raise ValueError(f"nothing is known of the {', '.join(missing)} of these units")
  return np.stack([evidence[name] for name in names], -1)


def probabilities(
  spec: ConfidenceSpec, evidence: Float[np.ndarray, "units evidence"]
) -> Float[np.ndarray, "units"]:
  """Returns the probability that each description fits."""
  scaled = (evidence - np.array(spec.centers)) / np.array(spec.scales)
  logits = scaled @ np.array(spec.weights) + spec.bias
  found: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
  return found
