"""Calibration of confidences: bins and a reliability diagram."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from milan_jax._src.files.atomic import atomic_path
from milan_jax._src.lab.evaluation.described import Judged
from milan_jax._src.text.judge import judge

NUM_BINS = 10


def calibration(cases: Sequence[Judged]) -> dict[str, Any] | None:
  """Bins confidences, with the fraction that is right by the lenient judge per bin.

  For a withheld description the guess is judged. Any description of a negative unit
  counts as wrong.

  Args:
    cases: judged units; dead units and units without a confidence are left out.

  Returns:
    `bins`, `n` and `error`: the mean absolute difference of confidence and fraction
    right, weighted by the bins' counts. None if no unit has a confidence.
  """
  pairs = [
    (case.answer.confidence, judge(case.answer.guess, case.truth).lenient)
    for case in cases
    if case.answer.confidence is not None and not case.answer.dead
  ]
  if not pairs:
    return None
  confidences, right = np.array(pairs, float).T
  return binned(confidences, right)


def binned(
  confidences: Float[np.ndarray, "units"], right: Float[np.ndarray, "units"]
) -> dict[str, Any]:
  """Bins confidences, with the fraction that is right per bin.

  Args:
    confidences: of at least one unit.
    right: how far each is right, from 0 to 1.

  Returns:
    As `calibration`.
  """
  places = np.clip((confidences * NUM_BINS).astype(int), 0, NUM_BINS - 1)
  bins = [
    {
      "from": place / NUM_BINS,
      "n": int((places == place).sum()),
      "confidence": float(confidences[places == place].mean()),
      "right": float(right[places == place].mean()),
    }
    for place in np.unique(places).tolist()
  ]
  total = len(confidences)
  error = sum(b["n"] * abs(b["confidence"] - b["right"]) for b in bins) / total
  return {"bins": bins, "n": total, "error": error}


def draw(
  found: dict[str, Any], path: pathlib.Path, *, label: str = "share right (lenient)"
) -> None:
  """Plots the fraction right against the confidence, with the count of each bin.

  Args:
    found: what `calibration` or `binned` returns.
    path: of the picture.
    label: of the vertical axis.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4.6, 5.2), layout="constrained")
  upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
  upper.plot((0, 1), (0, 1), color="#b5b5b5", linewidth=1, label="perfect")
  bins = found["bins"]
  upper.plot(
    [each["confidence"] for each in bins],
    [each["right"] for each in bins],
    marker="o",
    color="#1f5fa8",
    label=f"{found['n']} units, error {found['error']:.2f}",
  )
  upper.set_ylabel(label)
  upper.set_ylim(0, 1.02)
  upper.legend(frameon=False, fontsize=8, loc="upper left")
  lower.bar(
    [each["from"] + 0.5 / NUM_BINS for each in bins],
    [each["n"] for each in bins],
    0.9 / NUM_BINS,
    color="#7d7d7d",
  )
  lower.set_xlim(0, 1)
  lower.set_xlabel("confidence")
  lower.set_ylabel("units")
  for axis in (upper, lower):
    axis.spines[["top", "right"]].set_visible(False)
  with atomic_path(path) as staging:
    figure.savefig(staging, dpi=150)
