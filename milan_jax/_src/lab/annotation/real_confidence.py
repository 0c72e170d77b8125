"""Fits the confidence of a released captioner on judged units of real networks."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict
from jaxtyping import Bool, Float, Int

from milan_jax._src.api.stores import open_features
from milan_jax._src.errors import UserError
from milan_jax._src.files.tables import read_rows
from milan_jax._src.lab.annotation.judged_figures import auc, score
from milan_jax._src.lab.annotation.judged_texts import named_paths
from milan_jax._src.lab.annotation.verdicts import OF_TEXT
from milan_jax._src.models.confidence_model import (
  ConfidenceSpec,
  probabilities,
  table,
)
from milan_jax._src.records import Unit
from milan_jax._src.runs.workdir import FEATURES
from milan_jax._src.store import release as releases
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.text.wording import words
from milan_jax._src.training.calibrate import describe_with_evidence
from milan_jax._src.training.fit_confidence import fit_probability
from milan_jax._src.weights.torch_files import read_safetensors

# What separates right descriptions of real units from wrong ones (docs/starter.md), by
# captioners without and with word detectors.
REAL_EVIDENCE = ("agreement", "information", "likelihood", "consensus")
DETECTED_EVIDENCE = ("capped_agreement", "words", "consensus", "likelihood", "margin")
# The verdict of units whose regions have nothing in common: whatever is said is wrong.
NOTHING = "nothing"
# How much a description that is partly right counts as right.
PARTLY = 0.5
BALANCE = "balance"
FOLDS = 10
FEWEST = 20
_COLUMNS = ("layer", "unit", "run", "description", "verdict")

Evidence = dict[str, Float[np.ndarray, "units"]]
# By network and unit: the description that was judged, and its verdicts.
Verdicts = dict[tuple[str, Unit], tuple[str, list[str]]]


@dataclasses.dataclass(frozen=True, slots=True)
class FitOptions:
  """What the confidence is fitted on.

  Attributes:
    milan: folder of the release; its `milan.json` is rewritten, its tensors stay.
    features: feature stores, comma-separated, each as `NETWORK=FOLDER` or, if its
      run directory has the network's name, as `FOLDER`.
    judged: CSV file with the columns layer, unit, run, description and verdict (right,
      partly or wrong), and sign unless all units are on. A unit whose verdict is
      nothing has nothing in common, and needs no description.
    threshold_rule: `balance` for the threshold of `balanced_threshold`, or a
      probability.
    seed: of the folds of the cross-validation.
  """

  milan: pathlib.Path
  features: str
  judged: pathlib.Path
  threshold_rule: str = BALANCE
  seed: int = 0


def fit(options: FitOptions) -> dict[str, Any]:
  """Fits the confidence of a release, and rewrites it.

  A verdict counts if the release still gives the description that was judged. Of units
  that have nothing in common every description is wrong. They take part in the fit, and
  only `nothing` and `nothing_withheld` count them.

  Returns:
    `units`, those that count; `changed`, units with another description now; `auc` of
    the fitted confidence on the same units and `cv_auc` by cross-validation, with those
    that are partly right as half; `threshold`; of what would be said and withheld, how
    many are right or partly and how many wrong; `nothing`, units that have nothing in
    common, and how many of these are withheld.

  Raises:
    UserError: if an option or a table is malformed, the release decodes without what
      the confidence reads, features do not fit it, units have no features, or fewer
      than `FEWEST` verdicts count or all are the same.
  """
  fixed = _fixed(options.threshold_rule)
  verdicts = read_judged(options.judged)
  release = releases.load_release(options.milan)
  _check_decoding(options.milan, release)
  stores = _open_all(options, release, {run for run, _ in verdicts})
  evidence, texts, units = _describe(release, stores, list(verdicts))
  nothing = np.array([NOTHING in verdicts[unit][1] for unit in units])
  same = np.array(
    [
      words(text) == words(verdicts[unit][0])
      for text, unit in zip(texts, units, strict=True)
    ]
  )
  counts = same | nothing
  evidence = {name: values[counts] for name, values in evidence.items()}
  # Of each unit, how far it is right, and whether it is right or partly.
  judged = [
    verdicts[unit][1] for unit, known in zip(units, counts, strict=True) if known
  ]
  right = np.array([0.0 if NOTHING in one else score(one, PARTLY) for one in judged])
  good = np.array([0.0 if NOTHING in one else score(one, 1.0) for one in judged])
  real = ~nothing[counts]
  changed = int((~counts).sum())
  if real.sum() < FEWEST or np.ptp(right[real]) == 0:
    raise UserError(
      f"{options.judged}: expected {FEWEST} or more units with different verdicts of "
      f"what {options.milan} gives now; found {int(real.sum())}, and {changed} "
      "with another description: judge the descriptions of this release."
    )
  names = REAL_EVIDENCE if release.word_detectors is None else DETECTED_EVIDENCE
  spec = fit_probability(evidence, right, names)
  found = probabilities(spec, table(evidence, spec.evidence))
  threshold = balanced_threshold(found[real], good[real]) if fixed is None else fixed
  _rewrite(options.milan, release, dataclasses.replace(spec, threshold=threshold))
  said = found >= threshold
  cross = cross_validated(evidence, right, names, options.seed)
  return {
    "units": int(real.sum()),
    "changed": changed,
    "auc": auc(found[real], right[real]),
    "cv_auc": auc(cross[real], right[real]),
    "threshold": threshold,
    "said": int((said & real).sum()),
    "said_right_or_partly": float(good[said & real].sum()),
    "withheld": int((~said & real).sum()),
    "withheld_right_or_partly": float(good[~said & real].sum()),
    "nothing": int((~real).sum()),
    "nothing_withheld": int((~said & ~real).sum()),
  }


def report(found: dict[str, Any], milan: pathlib.Path) -> str:
  """What `fit` returns, in a few lines."""

  def shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"

  of_nothing = ""
  if found["nothing"]:
    of_nothing = (
      f" Of {found['nothing']} units that have nothing in common, "
      f"{found['nothing_withheld']} are withheld."
    )
  return (
    f"{milan}: the confidence is of {found['units']} judged units "
    f"({found['changed']} have another description now and do not count).\n"
    f"AUC {shown(found['auc'])}, cross-validated {shown(found['cv_auc'])}, partly "
    f"right as half. Threshold {found['threshold']:.3f}: of {found['said']} "
    f"descriptions {found['said_right_or_partly']:g} are right or partly right, of "
    f"{found['withheld']} withheld ones {found['withheld_right_or_partly']:g}."
    f"{of_nothing}"
  )


def _fixed(rule: str) -> float | None:
  if rule == BALANCE:
    return None
  try:
    value = float(rule)
  except ValueError:
    value = -1.0
  if not 0 < value <= 1:  # dead units have 0 and are withheld
    raise UserError(
      f"--threshold_rule={rule}: expected {BALANCE}, or a probability above 0."
    )
  return value


def _check_decoding(folder: pathlib.Path, release: releases.Release) -> None:
  """Refuses a release whose descriptions come without all of the evidence."""
  if release.language_model is None:
    raise UserError(
      f"--milan={folder}: expected a captioner with a language model, whose scores the "
      "confidence reads; found none: train one with milan-train."
    )
  decoding = release.decoding
  if not decoding.keeps_beam:
    raise UserError(
      f"--milan={folder}: expected a captioner whose default decoding is beam or "
      "rerank, guarded or with descriptions of no pattern, because the confidence "
      f"reads the other hypotheses; found strategy {decoding.strategy}, guarded "
      f"{decoding.guarded}, {len(decoding.nothing)} descriptions of no pattern"
      f"{', parity' if decoding.parity else ''}: milan-train writes such captioners."
    )


def read_judged(path: pathlib.Path) -> Verdicts:
  """Reads the judged descriptions, each with the verdicts of all judges.

  Raises:
    UserError: if the file is malformed, a verdict is unknown, or a unit has two
      descriptions.
  """
  found: Verdicts = {}
  for row in read_rows(path, _COLUMNS, optional=("sign",)):
    run, text = row.values["run"].strip(), row.values["description"].strip()
    verdict = row.values["verdict"].strip().lower()
    if verdict not in (*OF_TEXT, NOTHING):
      raise UserError(
        f"{row.where}: expected a verdict among {', '.join((*OF_TEXT, NOTHING))}; "
        f"found {verdict!r}."
      )
    known, verdicts = found.setdefault((run, row.unit), (text, []))
    if words(known) != words(text):
      raise UserError(
        f"{row.where}: unit {row.unit.index} of {row.unit.layer} has two descriptions, "
        f"{known!r} and {text!r}: keep one."
      )
    verdicts.append(verdict)
    if NOTHING in verdicts and len(set(verdicts)) > 1:
      raise UserError(
        f"{row.where}: unit {row.unit.index} of {row.unit.layer} has the verdict "
        f"{NOTHING!r} and another one: keep one."
      )
  if not found:
    raise UserError(f"{path} has no verdict, only the names of the columns.")
  return found


def _open_all(
  options: FitOptions, release: releases.Release, runs: set[str]
) -> dict[str, FeatureStore]:
  paths = named_paths(options.features, "features", FEATURES)
  missing = sorted(runs - set(paths))
  if missing:
    raise UserError(
      f"--features={options.features}: expected a folder for each network of "
      f"{options.judged}; found none for {', '.join(missing)}."
    )
  stores = {run: open_features(paths[run]) for run in sorted(runs)}
  for run, store in stores.items():
    if store.feature_size != release.feature_size:
      raise UserError(
        f"{paths[run]}: expected {release.feature_size} features a region, as "
        f"{options.milan} takes; found {store.feature_size}: compute them with it."
      )
  return stores


def _describe(
  release: releases.Release,
  stores: Mapping[str, FeatureStore],
  judged: list[tuple[str, Unit]],
) -> tuple[Evidence, list[str], list[tuple[str, Unit]]]:
  """Evidence and descriptions of the judged units, network by network."""
  parts: list[Evidence] = []
  texts: list[str] = []
  units: list[tuple[str, Unit]] = []
  for run, store in stores.items():
    rows = {unit: row for row, (unit, _) in enumerate(store.units(0, len(store)))}
    own = [unit for name, unit in judged if name == run]
    for unit in own:
      if unit not in rows:
        raise UserError(
          f"--features: expected features of unit {unit.index} of {unit.layer} "
          f"({unit.sign}) of {run}; found none: compute them for all judged units."
        )
    evidence, described = describe_with_evidence(
      release, store, [rows[unit] for unit in own]
    )
    parts.append(evidence)
    texts += described
    units += [(run, unit) for unit in own]
  merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
  return merged, texts, units


def balanced_threshold(
  found: Float[np.ndarray, "units"], good: Float[np.ndarray, "units"]
) -> float:
  """The threshold with the most right or partly right less wrong descriptions said.

  Below it, more of what would be said is wrong than right or partly right. It is
  halfway between two probabilities, 0 and 1 included, so that dead units, which have 0,
  are withheld even if nothing else is. Of equal thresholds it is the lowest.

  Args:
    found: the probability of each unit's description.
    good: the share of judges who find it right or partly right.
  """
  levels = np.concatenate([[0.0], np.unique(found), [1.0]])
  thresholds = (levels[1:] + levels[:-1]) / 2
  gains = [(2 * good[found >= threshold] - 1).sum() for threshold in thresholds]
  return float(thresholds[int(np.argmax(gains))])


def cross_validated(
  evidence: Evidence,
  right: Float[np.ndarray, "units"],
  names: tuple[str, ...],
  seed: int,
) -> Float[np.ndarray, "units"]:
  """The probability of each unit by a model that was fitted without its fold.

  Args:
    evidence: of the units.
    right: how far each unit's description is right.
    names: the evidence to use.
    seed: of the folds, at most `FOLDS`.
  """
  number = len(right)
  folds: Int[np.ndarray, "units"] = np.arange(number) % min(FOLDS, number)
  folds = np.random.default_rng(seed).permutation(folds)
  found = np.empty(number)
  for fold in np.unique(folds):
    inside = folds == fold
    spec = fit_probability(_rows(evidence, ~inside), right[~inside], names)
    found[inside] = probabilities(spec, table(_rows(evidence, inside), spec.evidence))
  return found


def _rows(
  evidence: Evidence, chosen: Bool[np.ndarray, "units"]
) -> dict[str, Float[np.ndarray, "chosen"]]:
  return {name: values[chosen] for name, values in evidence.items()}


def _rewrite(
  folder: pathlib.Path, release: releases.Release, spec: ConfidenceSpec
) -> None:
  """Saves a release with another confidence; its tensors keep their dtypes."""
  tensors = read_safetensors(folder / releases.TENSORS_FILE)
  params = unflatten_dict(tensors, sep="/")
  releases.save_release(
    dataclasses.replace(release, confidence=spec, params=params), folder
  )
