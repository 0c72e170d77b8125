"""Figures of judged units, with bootstrap intervals over the units.

If a unit has several judges, each has an equal part of it. Descriptions that are partly
right count as half right or as wrong in the area under the curve, which is given both
ways.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.lab.annotation.verdicts import JudgedUnit
from milan_jax._src.lab.evaluation.calibration_plot import binned
from milan_jax._src.text.fluency import is_broken

DRAWS = 2000
SURE = 0.9
_PERCENTILES = (2.5, 97.5)
# Digits that are kept, far below the intervals: the last ones depend on the machine.
_DIGITS = 4
# Of all units.
OF_UNITS: dict[str, Callable[[JudgedUnit], float]] = {
  "right": lambda one: one.share("right"),
  "right or rightly withheld": lambda one: one.share("right", "rightly"),
  "partly": lambda one: one.share("partly"),
  "wrong": lambda one: one.share("wrong"),
  "rightly withheld": lambda one: one.share("rightly"),
  "wrongly withheld": lambda one: one.share("wrongly"),
}
# Of the descriptions that are not withheld.
OF_SAID: dict[str, Callable[[JudgedUnit], float]] = {
  "broken": lambda one: float(is_broken(one.result.text)),
}
OF_SURE: dict[str, Callable[[JudgedUnit], float]] = {
  "sure: right": lambda one: one.share("right"),
  "sure: right or partly": lambda one: one.share("right", "partly"),
}
AUCS = {
  "AUC, said, partly as half": (False, 0.5),
  "AUC, said, partly as wrong": (False, 0.0),
  "AUC, with guesses, partly as half": (True, 0.5),
  "AUC, with guesses, partly as wrong": (True, 0.0),
}

Weights = Int[np.ndarray, "draws units"]


def figures(
  units: Sequence[JudgedUnit], last_layers: Mapping[str, str], *, seed: int = 0
) -> dict[str, Any]:
  """Computes all figures of judged units.

  Args:
    units: at least one.
    last_layers: the last layer of each network.
    seed: of the bootstrap.

  Returns:
    `groups`: by the name of a group of units ("all", each network, "last layers" and
    "other layers") its number of `units` and its figures, each with `value`, `low` and
    `high` (95 %), and `n`, the number of units that it is of; the former are None if
    `n` is 0. `judged_twice` and `alike`: the number of units with several judges, and
    the fraction of them on which all agree. `calibration`: as of `binned`, partly right
    as half; None without confidences.
  """
  groups = {"all": list(units)}
  for name in sorted({one.result.unit.run for one in units}):
    groups[name] = [one for one in units if one.result.unit.run == name]
  for name, last in (("last layers", True), ("other layers", False)):
    groups[name] = [one for one in units if _is_last(one, last_layers) == last]
  several = [one.verdicts for one in units if len(one.verdicts) > 1]
  known = [one for one in units if _has_score(one)]
  return {
    "groups": {name: _group(inside, seed) for name, inside in groups.items()},
    "judged_twice": len(several),
    "alike": _mean([float(len(set(each)) == 1) for each in several]),
    "calibration": binned(_confidences(known), _scores(known, 0.5)) if known else None,
  }


def _is_last(one: JudgedUnit, last_layers: Mapping[str, str]) -> bool:
  return last_layers.get(one.result.unit.run) == one.result.unit.layer


def _mean(values: Sequence[float]) -> float | None:
  return round(float(np.mean(values)), _DIGITS) if values else None


def _group(units: Sequence[JudgedUnit], seed: int) -> dict[str, Any]:
  number = len(units)
  if not number:
    return {"units": 0}
  rng = np.random.default_rng(seed)
  draws = rng.multinomial(number, np.full(number, 1 / number), DRAWS)
  weights = np.concatenate([np.ones((1, number), int), draws])
  every = np.ones(number, bool)
  said = np.array([not one.result.withheld for one in units])
  sure = said & np.array([(one.result.confidence or 0.0) >= SURE for one in units])
  found: dict[str, Any] = {"units": number}
  for values, inside in ((OF_UNITS, every), (OF_SAID, said), (OF_SURE, sure)):
    for name, value in values.items():
      shares = np.array(
        [value(one) if fits else 0.0 for one, fits in zip(units, inside, strict=True)]
      )
      found[name] = _figure(weights @ shares, weights @ inside, int(inside.sum()))
  for name, (with_guesses, partly) in AUCS.items():
    known = np.array([_has_score(one) for one in units]) & (said | with_guesses)
    chosen = [one for one, fits in zip(units, known, strict=True) if fits]
    if with_guesses and known.sum() == (said & known).sum():
      chosen = []  # without verdicts of guesses it would be the former figure
    found[name] = _auc_figure(chosen, weights[:, known], partly)
  return found


def _has_score(one: JudgedUnit) -> bool:
  return one.result.confidence is not None and len(one.of_candidate) > 0


def _confidences(units: Sequence[JudgedUnit]) -> Float[np.ndarray, "units"]:
  return np.array([one.result.confidence for one in units], float)


def _scores(units: Sequence[JudgedUnit], partly: float) -> Float[np.ndarray, "units"]:
  """How far each unit's candidate is right, from 0 to 1."""
  return np.array([score(one.of_candidate, partly) for one in units])


def score(verdicts: Sequence[str], partly: float) -> float:
  """The mean of some verdicts: 1 for right, `partly` for partly, 0 for wrong."""
  values = {"right": 1.0, "partly": partly, "wrong": 0.0}
  return sum(values[each] for each in verdicts) / len(verdicts)


def _figure(
  numerators: Float[np.ndarray, "draws"],
  denominators: Float[np.ndarray, "draws"] | Int[np.ndarray, "draws"],
  number: int,
) -> dict[str, Any]:
  """The first ratio, and percentiles of the others."""
  if denominators[0] <= 0:
    return {"value": None, "low": None, "high": None, "n": number}
  fine = denominators > 0
  ratios = numerators[fine] / denominators[fine]
  low, high = (
    np.percentile(ratios[1:], _PERCENTILES) if len(ratios) > 1 else ratios[[0, 0]]
  )
  rounded = (round(float(each), _DIGITS) for each in (ratios[0], low, high))
  return dict(zip(("value", "low", "high"), rounded, strict=True)) | {"n": number}


def _auc_figure(
  units: Sequence[JudgedUnit], weights: Weights, partly: float
) -> dict[str, Any]:
  if not units:
    return {"value": None, "low": None, "high": None, "n": 0}
  ratios = auc_terms(_confidences(units), _scores(units, partly), weights)
  return _figure(*ratios, len(units))


def auc_terms(
  confidences: Float[np.ndarray, "units"],
  right: Float[np.ndarray, "units"],
  weights: Weights,
) -> tuple[Float[np.ndarray, "draws"], Float[np.ndarray, "draws"]]:
  """Numerators and denominators of the area under the ROC curve.

  The area is the probability that a right unit has the higher confidence than a wrong
  one, ties as half, over the pairs of two different units. A unit that is half right
  is in both classes, by half.

  Args:
    confidences: of the units.
    right: how far each is right, from 0 to 1.
    weights: how often each unit counts, one row per area.
  """
  above = confidences[:, None] > confidences[None]
  equal = confidences[:, None] == confidences[None]
  np.fill_diagonal(equal, False)
  wins = above + 0.5 * equal
  goods, bads = weights * right, weights * (1 - right)
  numerators = ((goods @ wins) * bads).sum(1)
  denominators = goods.sum(1) * bads.sum(1) - (goods * bads).sum(1)
  return numerators, denominators


def auc(
  confidences: Float[np.ndarray, "units"], right: Float[np.ndarray, "units"]
) -> float | None:
  """The area under the ROC curve, as `auc_terms`; None if no pair differs."""
  ones = np.ones((1, len(right)), int)
  numerators, denominators = auc_terms(confidences, right, ones)
  if denominators[0] <= 0:
    return None
  return float(numerators[0] / denominators[0])


def markdown(found: Mapping[str, Any]) -> str:
  """The figures as tables, with 95 % intervals and numbers of units."""
  columns = {
    "of the units": tuple(OF_UNITS),
    "of the descriptions": (*OF_SAID, *OF_SURE),
    "AUC of the confidence": tuple(AUCS),
  }
  parts = []
  for title, names in columns.items():
    short = [name.removeprefix("AUC, ") for name in names]
    lines = [
      f"| {title} | units | {' | '.join(short)} |",
      "|---" * (2 + len(names)) + "|",
    ]
    for group, values in found["groups"].items():
      if values["units"]:
        cells = (_cell(values[name], values["units"], name in AUCS) for name in names)
        lines.append(f"| {group} | {values['units']} | {' | '.join(cells)} |")
    parts.append("\n".join(lines))
  if found["judged_twice"]:
    parts.append(
      f"{found['judged_twice']} units have several judges, who agree on "
      f"{round(100 * found['alike'])} % of them."
    )
  if found["calibration"]:
    parts.append(
      f"Calibration error {found['calibration']['error']:.2f} over "
      f"{found['calibration']['n']} units, partly right as half."
    )
  parts.append(
    "In brackets: 95 % intervals, and n where it is not the number of units. Sure: "
    f"descriptions with a confidence of {SURE} or more."
  )
  return "\n\n".join(parts) + "\n"


def _cell(value: Mapping[str, Any], units: int, plain: bool) -> str:
  number = "" if value["n"] == units else f", n {value['n']}"
  if value["value"] is None:
    return f"- (n {value['n']})"
  if plain:
    return f"{value['value']:.2f} ({value['low']:.2f}-{value['high']:.2f}{number})"
  low, high = round(100 * value["low"]), round(100 * value["high"])
  return f"{round(100 * value['value'])} % ({low}-{high}{number})"
