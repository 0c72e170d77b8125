"""`milan-generalize`: trains captioners on some networks and tests them on others."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from milan_jax._src.experiments import generalization_report as report
from milan_jax._src.experiments.encoded_sets import (
  ExperimentSet,
  check_sets,
  encode_sets,
  read_experiment_sets,
)
from milan_jax._src.experiments.experiment_run import open_experiment
from milan_jax._src.experiments.metrics import check_metrics, make_metrics
from milan_jax._src.experiments.named_cases import Case, chosen_cases, experiment_names
from milan_jax._src.experiments.specificity import specificity
from milan_jax._src.experiments.trained_trial import (
  LIKELIHOOD,
  PMI,
  TEST,
  TRAIN,
  VALIDATION,
  TrialData,
  TrialEncoder,
  check_search,
  decoding_options,
  make_encoder,
  run_trial,
  train_options,
)
from milan_jax._src.experiments.worst_units import write_worst
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.json_files import read_json
from milan_jax._src.options.experiments import GeneralizeOptions
from milan_jax._src.options.train import OptimizerOptions, TrainOptions
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import FEATURES
from milan_jax._src.scores.score_table import score_table
from milan_jax._src.scores.text_metric import TextMetric
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.training.splitting import check_fractions, split_units

CASES, SCORES = "cases", "scores.json"
# Changes with how scores are computed, so that they are computed again.
_SCORING = 3
# Options that may change when a run is resumed: they are not in any trial. Experiments
# and trials may be added, and scores are computed again where metrics changed.
_NOT_IN_TRIALS = (
  *(
    "workdir",
    "checkpoint_every",
    "experiments",
    "trials",
    "worst",
    "decoding_batch_size",
  ),
  *("bert_score", "bert_layer", "bert_baseline", "parity", "draws"),
)


def generalize(options: GeneralizeOptions) -> list[dict[str, Any]]:
  """Runs experiments and writes their table.

  The same call resumes a killed run; finished trials are kept.

  Args:
    options: all options of the command.

  Returns:
    The table's rows, as in `results.json`.

  Raises:
    UserError: if an option is wrong, a network is missing or damaged, or the workdir
      holds another run.
  """
  with hold(options.run.workdir) as folder:
    return _generalize(options, folder)


def _generalize(
  options: GeneralizeOptions, folder: pathlib.Path
) -> list[dict[str, Any]]:
  _check(options)
  metrics = make_metrics(options.metrics)
  Tokenizer()  # needed later; fails now if spaCy is missing
  # Before networks are downloaded: its name may be wrong, or its weights missing.
  encoder = make_encoder(options.model)
  sets = read_experiment_sets(options.sets, seed=options.run.seed, say=say)
  cases = chosen_cases(options.generalization.experiments, tuple(sets))
  # A network with too few units fails now, and not after the features.
  data_of = [
    _data(case, sets, folder, options, seed=options.run.seed) for case in cases
  ]
  open_experiment(folder, options, sets, encoder, changeable=_NOT_IN_TRIALS)
  encode_sets(sets.values(), encoder.network, folder / FEATURES)
  rows = []
  pictured: dict[str, Any] = {}
  for number, (case, data) in enumerate(zip(cases, data_of, strict=True)):
    say(f"{case.experiment}, {case.label} ({number + 1} of {len(cases)})")
    trials = [
      _trial(case, trial, sets, encoder, options, folder)
      for trial in range(options.run.trials)
    ]
    row = _scored(case, data, trials, metrics, options, folder)
    rows.append(row)
    pictured[f"{case.experiment}: {case.label}"] = data, trials[0]
  report.write(rows, folder)
  if options.generalization.worst:
    write_worst(
      folder / "worst",
      pictured,
      metric=metrics[0],
      number=options.generalization.worst,
    )
  print(report.markdown(rows), end="")
  return rows


def _check(options: GeneralizeOptions) -> None:
  """Checks what can be checked before libraries are imported and data is read."""
  wanted = options.generalization
  check_fractions(wanted.validation_fraction, wanted.test_fraction)
  _train_options(options, options.optimizer, options.run.seed)
  check_search(options.model, decoding_options(options.search).values())
  experiment_names(options.generalization.experiments)
  check_metrics(options.metrics)
  check_sets(options.sets)


def _data(
  case: Case,
  sets: Mapping[str, ExperimentSet],
  folder: pathlib.Path,
  options: GeneralizeOptions,
  *,
  seed: int,
) -> TrialData:
  """Splits the units of a case."""
  wanted = options.generalization
  own = {name: sets[name] for name in dict.fromkeys((*case.train, *case.test))}
  training = [
    sets[name].joined(unit) for name in case.train for unit in sets[name].units()
  ]
  rows = split_units(
    len(training),
    validation_fraction=wanted.validation_fraction,
    # Across networks nothing is split off for the test, but the function needs a part.
    test_fraction=wanted.test_fraction,
    seed=seed,
  )
  parts = dict.fromkeys(training, TRAIN)
  parts |= {training[row]: VALIDATION for row in rows.validation.tolist()}
  if case.is_within:
    parts |= {training[row]: TEST for row in rows.test.tolist()}
  else:
    for name in case.test:
      parts |= dict.fromkeys(map(sets[name].joined, sets[name].units()), TEST)
  return TrialData(own, folder / FEATURES, parts)


def _trial(
  case: Case,
  trial: int,
  sets: Mapping[str, ExperimentSet],
  encoder: TrialEncoder,
  options: GeneralizeOptions,
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Runs one trial. Within a network all trials have one split, as in the original."""
  seed = options.run.seed + trial
  data = _data(
    case, sets, folder, options, seed=options.run.seed if case.is_within else seed
  )
  optimizer = options.optimizer
  patience = options.generalization.within_patience
  if case.is_within and patience is not None:
    optimizer = dataclasses.replace(optimizer, patience=patience)
  whole = _train_options(options, optimizer, seed)
  place = folder / CASES / case.folder / str(trial)
  return run_trial(place, data, encoder, whole, options.search, say)


def _train_options(
  options: GeneralizeOptions, optimizer: OptimizerOptions, seed: int
) -> TrainOptions:
  return train_options(
    options.model,
    optimizer,
    temperature=options.search.temperature,
    seed=seed,
    checkpoint_every=options.run.checkpoint_every,
  )


def _scored(
  case: Case,
  data: TrialData,
  trials: Sequence[Mapping[str, Any]],
  metrics: Sequence[TextMetric],
  options: GeneralizeOptions,
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Scores a case, or reads its scores if nothing changed."""
  said = {
    way: [trial["descriptions"][way] for trial in trials] for way in (PMI, LIKELIHOOD)
  }
  identities = [metric.identity for metric in metrics]
  about = json.dumps(
    [_SCORING, said, identities, options.metrics.draws, options.run.seed]
  )
  digest = sha256_of([about])
  path = folder / CASES / case.folder / SCORES
  named: dict[str, Any] = {
    "experiment": case.experiment,
    "label": case.label,
    "train": list(case.train),
    "test": list(case.test),
    "trials": len(trials),
    "published": {PMI: case.published, LIKELIHOOD: case.published_likelihood},
  }
  if path.exists():
    found = read_json(path, dict, remedy=f"remove {path} and run the command again")
    if found.get("of") == digest:
      return {**named, **found["scores"]}
  known, training = data.known(TEST), data.known(TRAIN, VALIDATION)
  table = score_table(
    said,
    known,
    metrics,
    training=training,
    draws=options.metrics.draws,
    seed=options.run.seed,
  )
  scores = table.as_json() | {"specificity": specificity(said, known, training)}
  write_json(path, {"of": digest, "scores": scores})
  return {**named, **json.loads(json.dumps(scores))}
