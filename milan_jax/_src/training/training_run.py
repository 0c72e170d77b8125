"""`milan-train`: from annotated exemplars to a released captioner."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.decoding.features import encode_exemplars
from milan_jax._src.decoding.region_encoder import (
  RegionEncoder,
  encoder_params,
  region_encoder,
)
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.remote import is_remote
from milan_jax._src.models.encoder import Projection
from milan_jax._src.options.fields import values_of
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.processes import (
  hold_together,
  is_primary,
  join_processes,
  signal_start,
  wait_for_start,
  wait_until,
)
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.remote_workdir import RemoteWorkdir
from milan_jax._src.runs.workdir import FEATURES, begin_run, check_run, read_run
from milan_jax._src.store.feature_records import FeatureRecords
from milan_jax._src.store.feature_store import (
  FeatureStore,
  features_are_finished,
  open_features,
)
from milan_jax._src.store.splits import FILE as SPLIT
from milan_jax._src.store.splits import write_split
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.training import profiling, tensorboard
from milan_jax._src.training.annotated_sets import AnnotatedSets, read_sets
from milan_jax._src.training.calibrate import calibrate
from milan_jax._src.training.joined_folders import check_folders
from milan_jax._src.training.projection import component_sizes, fit_projection
from milan_jax._src.training.recorded_sets import read_recorded
from milan_jax._src.training.splitting import PARTS, check_fractions
from milan_jax._src.training.train_milan import (
  RELEASE,
  REPORT,
  AnnotatedFeatures,
  is_finished,
  read_report,
  recorded,
  train_milan,
)
from milan_jax._src.training.trained_encoder import feature_key, trained_encoder
from milan_jax._src.training.training_inputs import of_training
from milan_jax._src.training.training_job import PROJECTED_TOGETHER, TrainedEncoder
from milan_jax._src.training.training_ranges import check_ranges

# Options whose inputs are compared by content; their spelling may change.
_BY_CONTENT = (
  *("exemplars", "data", "data_root", "features", "annotations", "split"),
  "encoder_weights",
)
# Options that may change when a run is resumed.
_NOT_IN_RESULTS = (
  *("workdir", "checkpoint_every", "profile", "tensorboard", "compile_only"),
  *("coordinator", "num_processes", "process_id"),
)
# What the card states of persons.
_PERSONS = (
  "It gives persons no color and judges none by their looks: {number} captions that do "
  "were left out of training, and such descriptions are not given."
)


def train(options: TrainOptions) -> pathlib.Path:
  """Trains a captioner and its language model in a run directory.

  The same call with the same `workdir` resumes a stopped run and releases the same
  bytes as an uninterrupted run. Several processes train together if each is started
  with the same options and its own number.

  Args:
    options: all options of the command.

  Returns:
    The folder of the released captioner.

  Raises:
    UserError: if an input does not exist, most annotated units have no exemplars, the
      split lacks an annotated unit, or the workdir belongs to another run.
  """
  run = options.run
  if run.num_processes > 1 and is_remote(run.workdir):
    raise UserError(
      f"--workdir={run.workdir}: several processes need one folder that all can write, "
      "such as NFS, Filestore or a bucket mounted by gcsfuse."
    )
  join_processes(run.coordinator or "", run.num_processes, run.process_id)
  remote = RemoteWorkdir(run.workdir)
  with hold_together(os.fspath(remote.folder)) as folder:
    path = _train(options, folder, remote.push)
    remote.push()
  if is_remote(run.workdir):
    say(f"The run is in {run.workdir}")
  return path


def _train(
  options: TrainOptions, folder: pathlib.Path, push: Callable[[], None]
) -> pathlib.Path:
  check_ranges(options)
  check_fractions(options.data.validation_fraction, options.data.test_fraction)
  profiling.parse(options.run.profile)
  if options.data.features is None:
    check_folders(options.data)
  if options.run.tensorboard:
    tensorboard.check_installed()
  Tokenizer()  # needed hours later; fails now if spaCy is missing
  # All checks come before the run begins.
  if is_primary():
    read_run(folder)
  model = options.model
  spec, params = trained_encoder(model)
  everything = encoder_params(spec, params)
  network = region_encoder(spec, everything)
  sizes = component_sizes(model.projection or "", network.blocks)
  seed = options.run.seed
  inputs = (
    read_sets(options.data, seed=seed, say=say)
    if options.data.features is None
    else read_recorded(options.data, feature_key(spec, everything), seed=seed, say=say)
  )
  identity = of_training(
    inputs.folders,
    inputs.described,
    inputs.split,
    everything,
    encoder=model.encoder_weights or model.encoder,
    tables=Tables(folder),
    records=inputs.records,
  )
  config = values_of(options)
  config = recorded(
    {name: config[name] for name in config if name not in _NOT_IN_RESULTS}
  )
  wait_for_start(folder)
  before = read_run(folder)
  if before is None:
    begin_run(folder, config, identity)
  else:
    check_run(folder, before, config, identity=identity, paths=_BY_CONTENT)
  signal_start(folder)
  if is_finished(folder, judged=inputs.truths is not None):
    say(f"The captioner in {folder / RELEASE} is finished; nothing is left to do")
    return folder / RELEASE
  if is_primary():
    write_split(folder / SPLIT, _parts(inputs))
  features = inputs.records or _encoded(network, inputs.exemplars, folder)
  fitted: Projection | None = None
  if sizes:
    fitted = _projection(
      features, inputs.rows.training, network.blocks, sizes, model.whitening
    )
  about = options.release.about
  primary = is_primary()
  with bar("training", "batches") as show:
    train_milan(
      _annotated(features, inputs),
      TrainedEncoder(
        dataclasses.replace(spec, projection=sum(sizes)), params, projection=fitted
      ),
      options,
      folder,
      nothing=inputs.origin.nothing,
      card=({"about": about} if about else {})
      | {"persons": _PERSONS.format(number=inputs.origin.left_out)}
      | dict(inputs.origin.sources),
      say=say if primary else _be_quiet,
      progress=show if primary else _be_quiet,
      on_saved=push,
    )
  if inputs.truths is not None:
    if options.run.num_processes > 1:
      say("Run the command in one process, without --coordinator, for the confidence")
    else:
      _calibrate(folder, features, inputs, options.release.dtype)
  say(
    f"Wrote the captioner to {folder / RELEASE}; "
    f"describe with --milan={folder / RELEASE}"
  )
  return folder / RELEASE


def _encoded(
  network: RegionEncoder, exemplars: ExemplarSet | None, folder: pathlib.Path
) -> FeatureStore:
  assert exemplars is not None, "there are exemplars, or features of them"
  if not is_primary():
    wait_until(lambda: features_are_finished(folder / FEATURES))
    return open_features(folder / FEATURES)
  with bar("features", "images") as show:
    return encode_exemplars(
      network.encode,
      exemplars,
      folder / FEATURES,
      feature_size=network.feature_size,
      pooling=network.pooling,
      progress=show,
    )


def _be_quiet(*_: object) -> None:
  """Takes the place of messages in all processes but the first."""


def _parts(inputs: AnnotatedSets) -> dict[Unit, str]:
  """Returns the part of each unit, given or drawn."""
  units = [unit for layer in inputs.units.values() for unit in layer]
  rows = zip(PARTS, inputs.rows, strict=True)
  parts = {row: part for part, own in rows for row in own.tolist()}
  return {unit: parts[row] for row, unit in enumerate(units) if row in parts}


def _annotated(
  features: FeatureStore | FeatureRecords, inputs: AnnotatedSets
) -> AnnotatedFeatures:
  return AnnotatedFeatures(
    features.tables(),
    inputs.units,
    inputs.annotations,
    inputs.split,
    inputs.repeats,
    digest=inputs.records.digest if inputs.records else None,
  )


def _projection(
  features: FeatureStore | FeatureRecords,
  rows: Int[np.ndarray, "training"],
  channels: Sequence[int],
  sizes: Sequence[int],
  whitening: float,
) -> Projection:
  """Fits the projection on the features of the training split."""
  batches = (
    features.read_rows(rows[start : start + PROJECTED_TOGETHER])
    for start in range(0, len(rows), PROJECTED_TOGETHER)
  )
  return fit_projection(batches, channels, sizes, whitening=whitening)


def _calibrate(
  folder: pathlib.Path,
  features: FeatureStore | FeatureRecords,
  inputs: AnnotatedSets,
  dtype: str,
) -> None:
  """Fits the release's confidence, unless the report already has it."""
  report = read_report(folder)
  if "confidence" in report:
    return
  found = calibrate(
    folder / RELEASE,
    features,
    split=inputs.split or {},
    truths=inputs.truths or {},
    dtype=dtype,
  )
  write_json(folder / REPORT, report | {"confidence": found})
