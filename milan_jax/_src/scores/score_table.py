"""Scores of descriptions beside those of baselines, with bootstrap intervals."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.scores.baseline_texts import constant_caption, shuffled
from milan_jax._src.scores.text_metric import References, TextMetric, plain

CONSTANT, SHUFFLED = "constant caption", "shuffled units"
DRAWS = 1000
# Orders over which the score of shuffled units is averaged.
SHUFFLES = 5
_PERCENTILES = (2.5, 97.5)
_DIGITS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
  """A score with its 95 % interval over units.

  Attributes:
    value: the score, the mean over trials.
    low: lower end.
    high: upper end.
    std: standard deviation over trials; None for one trial.
  """

  value: float
  low: float
  high: float
  std: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreTable:
  """The scores of several ways to describe the same units.

  Attributes:
    units: number of units.
    references: number of references.
    constant: the constant caption of each metric, by the metric's first score.
    systems: of each way, its scores by name.
    above_constant: of each way, the differences of its scores from the constant
      caption's, over the same bootstrap samples.
  """

  units: int
  references: int
  constant: Mapping[str, str]
  systems: Mapping[str, Mapping[str, Estimate]]
  above_constant: Mapping[str, Mapping[str, Estimate]]

  def as_json(self) -> dict[str, object]:
    """Returns the table as JSON values."""
    return dataclasses.asdict(self)


def score_table(
  systems: Mapping[str, Sequence[Sequence[str]]],
  known: References,
  metrics: Iterable[TextMetric],
  *,
  training: References | None = None,
  draws: int = DRAWS,
  seed: int = 0,
) -> ScoreTable:
  """Scores descriptions of the same units, and both baselines.

  Args:
    systems: of each way to describe, a description of each unit from every trial. The
      shuffled units are those of the first.
    known: the references of each unit, at least one.
    metrics: what is computed.
    training: captions of other units, among which the constant caption is chosen; None
      for those of `known`, which favors it.
    draws: bootstrap samples of the units.
    seed: seeds the samples and the shuffled units.
  """
  known = [[plain(text) for text in texts] for texts in known]
  others = [[plain(text) for text in texts] for texts in training or known]
  ways = {
    name: [[plain(text) for text in trial] for trial in trials]
    for name, trials in systems.items()
  }
  first = next(iter(ways.values()))
  constant: dict[str, str] = {}
  ways[CONSTANT] = []  # of each metric
  ways[SHUFFLED] = [
    shuffled(first[number % len(first)], seed + number) for number in range(SHUFFLES)
  ]
  weights = bootstrap_weights(len(known), draws, seed)
  scores: dict[str, dict[str, Estimate]] = {name: {} for name in ways}
  above: dict[str, dict[str, Estimate]] = {name: {} for name in ways}
  for metric in metrics:
    best = constant[metric.names[0]] = constant_caption(others, metric)
    ways[CONSTANT] = [[best] * len(known)]
    drawn = {
      name: np.stack(
        [metric.scores(weights @ metric.statistics(trial, known)) for trial in trials]
      )
      for name, trials in ways.items()
    }
    base = drawn[CONSTANT].mean(0)
    for name, values in drawn.items():
      for column, score in enumerate(metric.names):
        mean = values.mean(0)[:, column]
        stds = values[:, 0, column].std(ddof=1) if len(values) > 1 else None
        scores[name][score] = _estimate(mean, None if name == SHUFFLED else stds)
        above[name][score] = _estimate(mean - base[:, column])
  return ScoreTable(len(known), sum(map(len, known)), constant, scores, above)


def bootstrap_weights(units: int, draws: int, seed: int) -> Int[np.ndarray, "_ units"]:
  """Returns how often each unit counts: once in the first row, then in each sample."""
  rng = np.random.default_rng(seed)
  drawn = rng.multinomial(units, np.full(units, 1 / units), draws)
  return np.concatenate([np.ones((1, units), int), drawn])


def unit_scores(
  metric: TextMetric, said: Sequence[str], known: References
) -> Float[np.ndarray, "units"]:
  """Returns the metric's first score of each unit alone."""
  texts = [[plain(text) for text in each] for each in known]
  found = metric.statistics([plain(text) for text in said], texts)
  scores: np.ndarray = metric.scores(found)[:, 0]
  return scores


def _estimate(values: Float[np.ndarray, "sums"], std: float | None = None) -> Estimate:
  """The first value, and percentiles of the others."""
  ends = np.percentile(values[1:] if len(values) > 1 else values, _PERCENTILES)
  value, low, high = (round(float(each), _DIGITS) for each in (values[0], *ends))
  return Estimate(value, low, high, None if std is None else round(float(std), _DIGITS))


# How a score is shown in tables: its heading, and its digits after the point.
SHOWN = {
  "bleu": ("BLEU", 1),
  "rouge_1": ("ROUGE-1", 2),
  "rouge_2": ("ROUGE-2", 2),
  "rouge_l": ("ROUGE-L", 2),
  "bertscore": ("BERTScore", 2),
}


def cell(estimate: Estimate, name: str) -> str:
  """Formats a score with its interval: `0.39 (0.36 to 0.42)`."""
  _, digits = SHOWN[name]
  value, low, high = (
    f"{each:.{digits}f}" for each in (estimate.value, estimate.low, estimate.high)
  )
  return f"{value} ({low} to {high})"


def markdown(table: ScoreTable) -> str:
  """Formats a table of scores, one row per way to describe."""
  first = next(iter(table.systems.values()))
  names = [name for name in SHOWN if name in first]
  lines = [
    f"| {table.units} units | {' | '.join(SHOWN[name][0] for name in names)} |",
    "|---" * (len(names) + 1) + "|",
  ]
  for way, scores in table.systems.items():
    cells = " | ".join(cell(scores[name], name) for name in names)
    lines.append(f"| {way} | {cells} |")
  return "\n".join(lines) + "\n"
