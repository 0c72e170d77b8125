"""`milan-sweep`: describes with many settings, and scores each."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.experiments import sweep_report as report
from milan_jax._src.experiments.encoded_sets import (
  ExperimentSet,
  check_sets,
  encode_sets,
  read_experiment_sets,
)
from milan_jax._src.experiments.experiment_run import open_experiment
from milan_jax._src.experiments.metrics import check_metrics, make_metrics
from milan_jax._src.experiments.specificity import specificity
from milan_jax._src.experiments.sweep_grid import Point, grid_encoders, grid_points
from milan_jax._src.experiments.trained_trial import (
  TEST,
  TRAIN,
  VALIDATION,
  TrialData,
  TrialEncoder,
  check_search,
  describe_parts,
  make_encoder,
  tidy,
  train_options,
  train_trial,
)
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.json_files import read_json, with_checksum
from milan_jax._src.options.experiments import SweepOptions
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.records import Unit
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import FEATURES
from milan_jax._src.scores.score_table import score_table
from milan_jax._src.scores.text_metric import TextMetric
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.training.splitting import check_fractions, split_units

_TRAINING, _POINTS = "training", "points"
# Options that may change when a run is resumed: points and encoders may be added, and
# scores are always computed again.
_NOT_IN_POINTS = (
  *("workdir", "checkpoint_every", "decoding_batch_size", "strategies", "beam_sizes"),
  *("temperatures", "encoders", "beam_size", "temperature"),
  *("bert_score", "bert_layer", "bert_baseline", "parity", "draws"),
)


def sweep(options: SweepOptions) -> dict[str, Any]:
  """Trains a captioner for each encoder, and describes with each setting.

  The same call resumes a killed run; finished settings are kept.

  Args:
    options: all options of the command.

  Returns:
    The results, as in `results.json`.

  Raises:
    UserError: if an option is wrong, a network is missing or damaged, or the workdir
      holds another run.
  """
  with hold(options.run.workdir) as folder:
    return _sweep(options, folder)


def _sweep(options: SweepOptions, folder: pathlib.Path) -> dict[str, Any]:
  points = grid_points(options.grid, options.search)
  models = grid_encoders(options.grid, options.model)
  check_fractions(options.grid.validation_fraction, options.grid.test_fraction)
  _train_options(options)  # fails now if a number is out of its range
  check_search(options.model, [each.options(options.search) for each in points])
  check_metrics(options.metrics)
  check_sets(options.sets)
  metrics = make_metrics(options.metrics)
  Tokenizer()  # needed later; fails now if spaCy is missing
  # Before networks are downloaded: a name may be wrong, or weights missing.
  encoders = {name: make_encoder(model) for name, model in models.items()}
  sets = read_experiment_sets(options.sets, seed=options.run.seed, say=say)
  parts = _parts(sets, options)
  found: dict[str, Any] = {}
  for name, encoder in encoders.items():
    # Each encoder has a run of its own, so that others may be added.
    place = folder / name
    one = dataclasses.replace(options, model=models[name])
    open_experiment(place, one, sets, encoder, changeable=_NOT_IN_POINTS)
    encode_sets(sets.values(), encoder.network, place / FEATURES)
    data = TrialData(sets, place / FEATURES, parts)
    found[name] = _described(place, data, encoder, points, one)
  data = TrialData(sets, folder, parts)
  results = _scored(found, points, data, metrics, options)
  report.write(results, folder)
  print(report.markdown(results), end="")
  return results


def _parts(sets: Mapping[str, ExperimentSet], options: SweepOptions) -> dict[Unit, str]:
  units = [one.joined(unit) for one in sets.values() for unit in one.units()]
  rows = split_units(
    len(units),
    validation_fraction=options.grid.validation_fraction,
    test_fraction=options.grid.test_fraction,
    seed=options.run.seed,
  )
  parts = dict.fromkeys(units, TRAIN)
  parts |= {units[row]: VALIDATION for row in rows.validation.tolist()}
  return parts | {units[row]: TEST for row in rows.test.tolist()}


def _described(
  folder: pathlib.Path,
  data: TrialData,
  encoder: TrialEncoder,
  points: Sequence[Point],
  options: SweepOptions,
) -> dict[str, dict[str, list[str]]]:
  """Returns the descriptions of both parts at each point; trains if needed."""
  captioner: Captioner | None = None
  found: dict[str, dict[str, list[str]]] = {}
  for number, point in enumerate(points):
    place = folder / _POINTS / point.name.replace(" ", "-")
    path = place / "point.json"
    if path.exists():
      remedy = f"remove {place} and run the same command again"
      found[point.name] = read_json(path, dict, remedy=remedy)["descriptions"]
      continue
    if captioner is None:
      captioner = _trained(folder, data, encoder, options)
    say(f"{folder.name}, {point.name} ({number + 1} of {len(points)})")
    how = point.options(options.search)
    found[point.name] = {
      part: describe_parts(place / part, captioner, data, how, part)
      for part in (VALIDATION, TEST)
    }
    write_json(path, with_checksum({"descriptions": found[point.name]}))
  return found


def _trained(
  folder: pathlib.Path, data: TrialData, encoder: TrialEncoder, options: SweepOptions
) -> Captioner:
  whole = _train_options(options)
  captioner, _ = train_trial(folder / _TRAINING, data, encoder, whole, say)
  tidy(folder / _TRAINING)
  return captioner


def _train_options(options: SweepOptions) -> TrainOptions:
  # The release's default temperature; each setting has its own.
  return train_options(
    options.model,
    options.optimizer,
    temperature=0.2,
    seed=options.run.seed,
    checkpoint_every=options.run.checkpoint_every,
  )


def _scored(
  found: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]],
  points: Sequence[Point],
  data: TrialData,
  metrics: Sequence[TextMetric],
  options: SweepOptions,
) -> dict[str, Any]:
  """Scores both parts; the best setting is the one of the stop part."""
  training = data.known(TRAIN)
  keys = [(name, point) for name in found for point in points]
  tables = {}
  for part in (VALIDATION, TEST):
    said = {
      f"{name} {point.name}": [found[name][point.name][part]] for name, point in keys
    }
    tables[part] = score_table(
      said,
      data.known(part),
      metrics,
      training=training,
      draws=options.metrics.draws,
      seed=options.run.seed,
    ).as_json()
    if part == TEST:
      measured = specificity(said, data.known(part), training)
  rows = [
    {"key": f"{name} {point.name}", "encoder": name, **dataclasses.asdict(point)}
    for name, point in keys
  ]
  score = metrics[0].names[0]
  systems: Any = tables[VALIDATION]["systems"]
  best = max(rows, key=lambda row: systems[row["key"]][score]["value"])
  return {
    "points": rows,
    "scores": tables,
    "specificity": measured,
    "chosen_by": score,
    "best": best["key"],
  }
