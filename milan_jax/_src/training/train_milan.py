"""Trains a captioner's models on features, and writes a release."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.models.encoder import Projection
from milan_jax._src.options.fields import values_of
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.records import Unit
from milan_jax._src.runs.processes import is_primary, primary_first, wait_until
from milan_jax._src.runs.workdir import open_workdir
from milan_jax._src.store import release
from milan_jax._src.store.training_checkpoints import TrainingCheckpoints
from milan_jax._src.training import (
  loop,
  matching,
  profiling,
  tensorboard,
  training_data,
)
from milan_jax._src.training.training_job import (
  CAPTIONER,
  DECODING,
  WORD_DETECTORS,
  TrainedEncoder,
  TrainingJob,
)

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
REPORT = "report.json"
PROFILE, TENSORBOARD = "profile", "tensorboard"
RELEASE = "milan"
# Options that the trained weights depend on.
_TRAINED_BY = (
  *("batch_size", "lm_batch_size", "hidden_size", "embedding_size", "lm_hidden_size"),
  *("lm_embedding_size", "lm_layers", "dropout", "feature_noise", "resample_regions"),
  *("stray_regions", "learning_rate", "cosine_decay", "weight_decay", "max_epochs"),
  *("stop_by", "patience", "validation_fraction", "test_fraction", "min_count"),
  *("length", "repeat", "seed", "order", "update_rule", "rate_scaling"),
  *("base_batch_size", "lm_base_batch_size", "warmup_steps", "clip_norm"),
  *("accumulate_steps", "compute_dtype", "lm_architecture", "word_hidden_size"),
  *("word_hidden_layers", "word_members", "word_dropout"),
)
# Options that earlier versions did not have, and the value that those versions imply.
# It is not recorded, so that a run of an earlier version can be resumed.
_IMPLIED: dict[str, Any] = {
  "data": None,
  "data_root": None,
  "features": None,
  "min_annotations": 1,
  "max_annotations": None,
  "order": "random",
  "update_rule": "adamw",
  "rate_scaling": "none",
  "base_batch_size": 64,
  "lm_base_batch_size": 128,
  "warmup_steps": 0,
  "clip_norm": None,
  "accumulate_steps": 1,
  "compute_dtype": "float32",
  "lm_architecture": "lstm",
  "word_hidden_size": 512,
  "word_hidden_layers": 1,
  "word_members": 1,
  "word_dropout": None,
  "word_weight": 0.0,
  "coverage": 0.0,
}
# What a model's samples are, if not captions.
_UNITS = {WORD_DETECTORS: "units"}
Progress = Callable[[int, int], None]
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedFeatures:
  """Features of exemplars, and annotations of their units.

  Attributes:
    features: features of each unit's exemplars, by layer; may be memory-mapped.
    units: the unit of each row of `features`.
    annotations: descriptions of units. Units without features are reported and left
      out.
    split: the split of each unit: train, validation or test; None splits at random.
    repeats: how many times an epoch takes the captions of each unit; None for once.
    digest: digest of the features; None to read all of them for it.
  """

  features: training_data.Tables
  units: Mapping[str, Sequence[Unit]]
  annotations: Mapping[Unit, Sequence[str]]
  split: Mapping[Unit, str] | None = None
  repeats: Mapping[Unit, int] | None = None
  digest: str | None = None


def train_milan(
  data: AnnotatedFeatures,
  encoder: TrainedEncoder,
  options: TrainOptions,
  workdir: str | pathlib.Path,
  *,
  nothing: tuple[str, ...] = (),
  card: Mapping[str, Any] | None = None,
  say: Say = lambda line: None,
  progress: Progress = lambda done, total: None,
  on_saved: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
  """Trains on features of exemplars with annotations, and writes a release.

  The run directory receives `checkpoints/`, `metrics.jsonl` (one line per epoch), the
  release `milan/` and finally `report.json`. The same call resumes a killed run, and
  the released weights have the same bytes as those of an uninterrupted run.

  Args:
    data: features and descriptions.
    encoder: the encoder that computed the features.
    options: sizes, optimizer and release; its paths are not used.
    workdir: the run directory.
    nothing: descriptions that report no pattern, for the release.
    card: additional entries for the release's card.
    say: called with a line for the user after each epoch.
    progress: called with the batches done and the total batches of an epoch.
    on_saved: called after each epoch, when its checkpoint and metrics are written.

  Returns:
    The report.

  Raises:
    UserError: if most annotated units have no features, a split is empty or lacks an
      annotated unit, the directory holds a run on other data or with other options, or
      the losses are not finite.
  """
  found = training_data.find_annotated(
    data.features,
    data.units,
    data.annotations,
    data.repeats,
    known_digest=data.digest,
  )
  matching.keep_matched(data.annotations, set(found.units), what="features", say=say)
  workdir = pathlib.Path(workdir)
  config = _config(options, found.feature_size, encoder.projection, data.split)
  with primary_first():
    open_workdir(workdir / CHECKPOINTS, config | {"data": found.fingerprint})
  if is_finished(workdir):
    say(f"{workdir} holds a finished run; nothing is left to do")
    return read_report(workdir)
  rows = matching.split_rows(
    found.units,
    data.split,
    validation_fraction=options.data.validation_fraction,
    test_fraction=options.data.test_fraction,
    seed=options.run.seed,
    say=say,
  )
  job = TrainingJob(found, rows, encoder, options, config["attention_size"], workdir)
  say(job.summary())
  report, whole = _train_all(job, config, nothing, card or {}, say, progress, on_saved)
  if is_primary():
    release.save_release(whole, workdir / RELEASE)
    atomic.write_json(workdir / REPORT, report)
  # Who left before would end the first process: JAX waits for all, but not for long.
  wait_until((workdir / REPORT).exists)
  job.remove_projected()
  return report


def _train_all(
  job: TrainingJob,
  config: Mapping[str, Any],
  nothing: tuple[str, ...],
  card: Mapping[str, Any],
  say: Say,
  progress: Progress,
  on_saved: Callable[[], None],
) -> tuple[dict[str, Any], release.Release]:
  """Trains one model after the other; returns report and release."""
  decoding = dataclasses.replace(
    DECODING,
    temperature=job.options.release.temperature,
    consensus=job.options.release.consensus,
    word_weight=job.options.release.word_weight,
    coverage=job.options.release.coverage,
    floor=job.options.release.floor,
    lm_stop=job.options.release.lm_stop,
    repeats=job.options.release.repeats,
    nothing=nothing,
  )
  params = job.initial_params()
  # Fails before the training if the release or a schedule would be invalid.
  job.released(params, decoding, {})
  trainers = {name: job.trainer(name) for name in params}
  best: dict[str, _TrainOutput] = {}
  for name, initial in params.items():
    before = [line for found in best.values() for line in found.lines]
    best[name] = _train(
      job,
      name,
      trainers[name],
      initial,
      say=say,
      progress=progress,
      on_saved=on_saved,
      before=before,
    )
  facts = {
    "units": job.num_units,
    "captions": job.num_captions,
    "words": len(job.vocabulary.tokens),
    "losses": {name: found.losses for name, found in best.items()},
    "options": dict(config),
  }
  trained = {name: found.params for name, found in best.items()}
  whole = job.released(trained, decoding, {**card, **facts})
  # Times differ from run to run, so they are in the report but not in the release.
  lines = [line for found in best.values() for line in found.lines]
  return {**facts, "epochs": lines}, whole


def _config(
  options: TrainOptions,
  feature_size: int,
  projection: Projection | None,
  split: Mapping[Unit, str] | None,
) -> dict[str, Any]:
  """Returns everything but the data that the trained weights depend on."""
  values = values_of(options)
  config = recorded({name: values[name] for name in _TRAINED_BY})
  if projection is not None:
    feature_size = projection.kernel.shape[1]
    config["projection"] = sha256_of([np.asarray(projection.kernel)])
  config["attention_size"] = options.model.attention_size or min(
    options.model.hidden_size, feature_size
  )
  if split is not None:
    config["split"] = _digest(split)
  return config


def recorded(values: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the options without those at a value that earlier versions imply."""
  return {
    name: value
    for name, value in values.items()
    if name not in _IMPLIED or value != _IMPLIED[name]
  }


def is_finished(workdir: pathlib.Path, *, judged: bool = False) -> bool:
  """Returns whether a run directory has all results of a training run.

  Args:
    workdir: the run directory.
    judged: whether the release must have a confidence model.

  Raises:
    UserError: if its report is damaged.
  """
  if not all((workdir / name).exists() for name in (REPORT, RELEASE)):
    return False
  return not judged or "confidence" in read_report(workdir)


def read_report(workdir: pathlib.Path) -> dict[str, Any]:
  """Reads the report of a finished run.

  Raises:
    UserError: if the report is damaged.
  """
  path = workdir / REPORT
  try:
    report = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(report, dict):
      raise ValueError("no object")
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} is damaged ({error}): remove it and run the same command again."
    ) from error
  return report


def _digest(split: Mapping[Unit, str]) -> str:
  """Returns a digest of the split."""
  rows = sorted([unit.layer, unit.index, part] for unit, part in split.items())
  return sha256_of([json.dumps(rows)])


class _TrainOutput(NamedTuple):
  """One model's best weights, their losses, and a line per epoch."""

  params: Any
  losses: dict[str, Any]
  lines: list[dict[str, Any]]


def _train(
  job: TrainingJob,
  name: str,
  trainer: loop.Trainer,
  params: release.Params,
  *,
  say: Say,
  progress: Progress,
  on_saved: Callable[[], None],
  before: Sequence[dict[str, Any]] = (),
) -> _TrainOutput:
  """Trains one model.

  Args:
    job: the data and the options.
    name: the model's name.
    trainer: the model's trainer.
    params: initial parameters.
    say: called with a line for the user after each epoch.
    progress: called with the batches done and the total batches of an epoch.
    on_saved: called after each epoch, when its checkpoint and metrics are written.
    before: the epoch lines of the models trained before.
  """
  options, measures = job.options, job.measures(name)
  stop_by = options.optimizer.stop_by if name == CAPTIONER else "nll"
  lines: list[dict[str, Any]] = []

  def on_epoch(epochs: Sequence[loop.Epoch]) -> None:
    lines[:] = [{"model": name, **dataclasses.asdict(epoch)} for epoch in epochs]
    text = "".join(
      json.dumps(line, sort_keys=True) + "\n" for line in [*before, *lines]
    )
    if is_primary():
      atomic.write_text(job.workdir / METRICS, text)
      board.write(lines)
    on_saved()
    say(_epoch_line(name, stop_by, epochs[-1]))

  writes = is_primary()
  traced = profiling.parse(options.run.profile if writes else None)
  with_events = options.run.tensorboard and writes
  events = job.workdir / TENSORBOARD / name if with_events else None
  with (
    TrainingCheckpoints(job.workdir / CHECKPOINTS / name) as checkpoints,
    profiling.Trace(job.workdir / PROFILE / name, traced) as trace,
    tensorboard.Board(events) as board,
  ):
    fitted = trainer.fit(
      params,
      training=job.parts[name]["training"],
      validation=job.parts[name]["validation"],
      checkpoints=checkpoints,
      options=loop.FitOptions(
        stop_by=stop_by,
        max_epochs=options.optimizer.max_epochs,
        patience=options.optimizer.patience,
        checkpoint_every=options.run.checkpoint_every,
        seed=options.run.seed,
      ),
      hooks=loop.FitHooks(measures["validation"], on_epoch, progress, trace),
    )
  if traced.num_steps and not trace.is_written:
    say(f"--profile={options.run.profile}: the {name} took no such step; no trace")
  best = [epoch for epoch in fitted.epochs if epoch.improved][-1]
  losses = {
    "epoch": best.epoch,
    "stopped_by": stop_by,
    "training": best.training,
    "validation": best.validation,
    "test": trainer.evaluate(fitted.params, job.parts[name]["test"])
    | measures["test"](fitted.params),
  }
  return _TrainOutput(fitted.params, losses, lines)


def _epoch_line(name: str, stop_by: str, last: loop.Epoch) -> str:
  return (
    f"{name}, epoch {last.epoch}: training loss {last.training['loss']:.4f}, "
    f"validation {stop_by.upper()} {last.validation[stop_by]:.4f}"
    f"{' *' * last.improved}, "
    f"{last.captions_per_second:.0f} {_UNITS.get(name, 'captions')}/s{_speed(last)}"
  )


def _speed(last: loop.Epoch) -> str:
  if last.mfu is None or last.flops_per_second is None:
    return ""
  return (
    f", {last.flops_per_second / 1e12:.1f} TFLOP/s ({last.mfu:.1%} of the peak in "
    "bfloat16)"
  )
