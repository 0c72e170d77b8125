"""Fits the word detectors of a captioner, by ridge regression."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from milan_jax._src.models.word_detectors import WordDetectors

# Weight of the L2 regularization, relative to the squared features' sum over the units
# where each feature has a standard deviation of 1.
RIDGE = 0.5
# Words of fewer units, or of all, have no detector.
FEWEST = 5
# Minimum standard deviation of a feature, as a fraction of the median.
_QUIET = 0.05
# Of the calibration: weight of the squared slope, most steps, and the last step.
_CALIBRATION_RIDGE = 1.0
_STEPS = 50
_STILL = 1e-9


def fit_word_detectors(
  features: Float[np.ndarray, "units features"],
  said: Bool[np.ndarray, "units words"],
  weights: Float[np.ndarray, "units"],
) -> WordDetectors:
  """Fits one linear classifier a word.

  Ridge regression of whether a word is said gives a score, and logistic regression of
  the same on that score, as it is for a unit that is left out of the fit, gives a
  probability (Platt 1999).

  Args:
    features: the mean features of each unit's regions.
    said: whether a caption of the unit has the word; both for some units.
    weights: how often each unit counts.

  Returns:
    Detectors of all columns of `said`.
  """
  share = weights / weights.sum()
  shift = share @ features
  deviations = np.sqrt(share @ (features - shift) ** 2)
  varying = deviations[deviations > 0]
  quiet = _QUIET * float(np.median(varying)) if len(varying) else 1.0
  scales = np.maximum(deviations, quiet)
  rates = share @ said
  root = np.sqrt(weights)[:, None]
  design = (features - shift) / scales * root
  targets = (said - rates) * root
  gram = design.T @ design + RIDGE * weights.sum() * np.eye(design.shape[1])
  kernel = np.linalg.solve(gram, design.T @ targets)
  leverages = np.einsum("nf,fn->n", design, np.linalg.solve(gram, design.T))
  fitted = design @ kernel
  # The residual of a unit that is left out, in closed form.
  left_out = (targets - (targets - fitted) / (1 - leverages)[:, None]) / root
  slopes, offsets = np.empty(said.shape[1]), np.empty(said.shape[1])
  for word in range(said.shape[1]):
    slopes[word], offsets[word] = _calibrated(left_out[:, word], said[:, word], weights)
  return WordDetectors(
    shift.astype(np.float32),
    (kernel * slopes / scales[:, None]).astype(np.float32),
    offsets.astype(np.float32),
  )


def _calibrated(
  scores: Float[np.ndarray, "units"],
  said: Bool[np.ndarray, "units"],
  weights: Float[np.ndarray, "units"],
) -> tuple[float, float]:
  """Returns slope and offset of the log-odds, by Newton's method with halved steps."""
  scale = float(scores.std()) or 1.0
  design = np.stack([scores / scale, np.ones(len(scores))], axis=1)
  penalty = np.diag([_CALIBRATION_RIDGE, 0.0])

  def loss(found: Float[np.ndarray, "2"]) -> float:
    odds = design @ found
    entropy = weights @ (np.logaddexp(0, odds) - said * odds)
    return float(entropy + 0.5 * found @ penalty @ found)

  rate = weights @ said / weights.sum()
  found = np.array([0.0, np.log(rate / (1 - rate))])
  for _ in range(_STEPS):
    fitted = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
    slope = design.T @ (weights * (fitted - said)) + penalty @ found
    curvature = (design * (weights * fitted * (1 - fitted))[:, None]).T @ design
    step = np.linalg.solve(curvature + penalty, slope)
    before = loss(found)
    while loss(found - step) > before and np.abs(step).max() > _STILL:
      step = step / 2
    found = found - step
    if np.abs(step).max() <= _STILL:
      break
  if found[0] <= 0:  # does not predict units outside the fit
    return 0.0, float(np.log(rate / (1 - rate)))
  return float(found[0] / scale), float(found[1])


def words_said(
  captions: Sequence[Iterable[Iterable[str]]],
  stems: dict[str, str],
  units: Iterable[int],
) -> tuple[tuple[str, ...], Bool[np.ndarray, "units words"]]:
  """Returns the words that enough units' captions have, and which units have them.

  Args:
    captions: the tokens of each caption of each unit.
    stems: the content word of each token that has one.
    units: the units to use, by their index in `captions`.
  """
  of_units = [
    {stems[token] for caption in captions[unit] for token in caption if token in stems}
    for unit in units
  ]
  counts: dict[str, int] = {}
  for words in of_units:
    for word in words:
      counts[word] = counts.get(word, 0) + 1
  kept = tuple(
    sorted(word for word, count in counts.items() if FEWEST <= count < len(of_units))
  )
  said = np.array([[word in words for word in kept] for words in of_units], bool)
  return kept, said.reshape(len(of_units), len(kept))
