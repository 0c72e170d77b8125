"""Rows of figures: one per configuration, with ratios to the other contenders."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.lab.benchmark.driver import Outcome
from milan_jax._src.lab.benchmark.spec import HOISTED, OTHERS, OURS, TEXTBOOK

# The fields that identify a row of a run.
KEY = ("milan", "strategy", "batch", "beam", "length", "vocab", "dtype", "devices")

Row = dict[str, Any]


def make_rows(
  outcomes: Sequence[Outcome], *, milan: str, vocab: int, stop_id: int
) -> list[Row]:
  """Makes a row for each outcome of milan-jax, with its ratios to the others.

  Args:
    outcomes: contenders that decoded the same batch with the same strategy.
    milan: the captioner's name.
    vocab: its number of tokens.
    stop_id: the id of the stop token.
  """
  ours = [o for o in outcomes if o.spec.contender == OURS]
  exact = _by_contender(outcomes, "float32")
  reference = next((exact[n] for n in (TEXTBOOK, HOISTED, OURS) if n in exact), None)
  rows = []
  for outcome in ours:
    # In the same precision, where another contender ran in it.
    others = exact | _by_contender(outcomes, outcome.spec.dtype)
    others.pop(OURS, None)
    rows.append(
      _row(outcome, others, reference, milan=milan, vocab=vocab, stop_id=stop_id)
    )
  return rows


def _by_contender(outcomes: Sequence[Outcome], dtype: str) -> dict[str, Outcome]:
  """Outcomes in a precision by contender, the first of each."""
  found: dict[str, Outcome] = {}
  for outcome in outcomes:
    if outcome.spec.dtype == dtype:
      found.setdefault(outcome.spec.contender, outcome)
  return found


def _row(
  outcome: Outcome,
  others: Mapping[str, Outcome],
  reference: Outcome | None,
  *,
  milan: str,
  vocab: int,
  stop_id: int,
) -> Row:
  spec, figures, seconds = outcome.spec, outcome.figures, outcome.seconds
  units = len(outcome.tokens)
  lengths = _lengths(outcome.tokens, stop_id)
  achieved = figures["gflop_per_unit"] * units / seconds
  # Simulated devices share the cores that the product was measured on.
  is_cpu = figures["machine"]["backend"] == "cpu"
  peak = figures["product_peak_gflops"] * (1 if is_cpu else spec.devices)
  row: Row = {
    "milan": milan,
    "strategy": spec.strategy,
    "batch": spec.batch,
    "beam": spec.beam,
    "length": spec.length,
    "vocab": vocab,
    "dtype": spec.dtype,
    "devices": spec.devices,
    "units_per_s": units / seconds,
    "tokens_per_s": float(lengths.sum()) / seconds,
    "latency_ms": 1000 * seconds,
    "mean_length": float(lengths.mean()),
    **{f"ratio_to_{name}": None for name in OTHERS},
    "reference": None,
    "equal_captions": None,
    "largest_score_difference": None,
    "ties": figures["ties"],
    "gflop_per_unit": figures["gflop_per_unit"],
    "computed_gflop_per_unit": figures["computed_gflop_per_unit"],
    "gflops": achieved,
    "product_peak_gflops": peak,
    "share_of_peak": achieved / peak,
    "moved_mb_per_unit": figures["moved_mb_per_unit"],
    "peak_memory_mb": figures["peak_memory_mb"],
    "planned_memory_mb": figures["planned_memory_mb"],
    "compile_s": figures["compile_s"],
    **{f"machine_{key}": value for key, value in figures["machine"].items()},
  }
  for name, other in others.items():
    row[f"ratio_to_{name}"] = other.seconds / seconds
    row[f"{name}_units_per_s"] = units / other.seconds
    row[f"{name}_dtype"] = other.spec.dtype
    # Equal if all contenders end alike.
    row[f"{name}_mean_length"] = float(_lengths(other.tokens, stop_id).mean())
    row[f"{name}_device"] = other.figures.get("device", row["machine_device"])
    row[f"{name}_compile_s"] = other.figures.get("compile_s")
    row[f"{name}_peak_memory_mb"] = other.figures["peak_memory_mb"]
    row[f"{name}_product_peak_gflops"] = other.figures["product_peak_gflops"]
  if reference is not None and reference is not outcome:
    equal = _same_captions(outcome.tokens, reference.tokens, stop_id)
    differences = np.abs(outcome.scores - reference.scores)[equal]
    row["reference"] = f"{reference.spec.contender} {reference.spec.dtype}"
    row["equal_captions"] = float(equal.mean())
    if equal.any():
      row["largest_score_difference"] = float(differences.max())
  return row


def _lengths(tokens: np.ndarray, stop_id: int) -> np.ndarray:
  """Counts the tokens of each description, including the first stop."""
  stops = tokens == stop_id
  lengths: np.ndarray = np.where(
    stops.any(axis=1), stops.argmax(axis=1) + 1, tokens.shape[1]
  )
  return lengths


def _same_captions(one: np.ndarray, other: np.ndarray, stop_id: int) -> np.ndarray:
  lengths = _lengths(one, stop_id)
  counted = np.arange(one.shape[1]) < lengths[:, None]
  same: np.ndarray = ((one == other) | ~counted).all(axis=1)
  same &= lengths == _lengths(other, stop_id)
  return same
