"""`milan-features`: features of annotated exemplars, computed once, as a data set."""

import dataclasses
import os
import pathlib

from milan_jax._src.decoding.features import encode_exemplars
from milan_jax._src.decoding.region_encoder import encoder_params, region_encoder
from milan_jax._src.errors import UserError
from milan_jax._src.files.remote import epath, fetched, is_remote, put
from milan_jax._src.options.fields import values_of
from milan_jax._src.options.train import FeaturesOptions
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.workdir import FEATURES, open_workdir
from milan_jax._src.store.feature_records import (
  META,
  FeatureRecords,
  UnitTables,
  records_folder,
  write_records,
)
from milan_jax._src.store.unit_records import library
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.training.joined_folders import check_folders, read_whole
from milan_jax._src.training.matching import keep_matched
from milan_jax._src.training.trained_encoder import feature_key, trained_encoder
from milan_jax._src.training.training_inputs import of_training

# Options whose inputs are compared by content; their spelling may change.
_BY_CONTENT = (
  *("exemplars", "data", "data_root", "annotations", "split", "encoder_weights"),
)
_NOT_IN_RESULTS = ("workdir", "out")


def compute_features(options: FeaturesOptions) -> str:
  """Computes the features of annotated exemplars, and writes them as a data set.

  The same call resumes a stopped one. The data set is named by the encoder, a digest of
  its weights and the version of the computation.

  Args:
    options: all options of the command.

  Returns:
    The data set's folder, local or remote.

  Raises:
    UserError: if an input is missing or damaged, a unit has no part in a given split,
      the workdir belongs to another run, or the data set there is of other exemplars.
  """
  check_folders(options.data)
  library()
  Tokenizer()
  if options.run.out and is_remote(options.run.out):
    epath(options.run.out)  # fails before the work
  with hold(options.run.workdir) as folder:
    return _compute(options, folder)


def _compute(options: FeaturesOptions, folder: pathlib.Path) -> str:
  spec, params = trained_encoder(options.model)
  params = encoder_params(spec, params)
  network = region_encoder(spec, params)
  whole = read_whole(options.data, say=say)
  units = [unit for layer in whole.units().values() for unit in layer]
  annotations = keep_matched(whole.described, set(units), what="exemplars", say=say)
  without = [unit for unit in units if whole.split and unit not in whole.split]
  if without:
    raise UserError(
      f"--split: {len(without)} of {len(units)} annotated units have no part, such as "
      f"{without[0].layer} {without[0].index}: add them, or remove their annotations."
    )
  config = values_of(options)
  open_workdir(
    folder,
    {name: config[name] for name in config if name not in _NOT_IN_RESULTS},
    identity=of_training(
      whole.folders,
      whole.described,
      whole.split,
      params,
      encoder=options.model.encoder_weights or options.model.encoder,
      tables=Tables(folder),
    ),
    paths=_BY_CONTENT,
  )
  with bar("features", "images") as show:
    features = encode_exemplars(
      network.encode,
      whole.exemplars,
      folder / FEATURES,
      feature_size=network.feature_size,
      pooling=network.pooling,
      progress=show,
    )
  key = feature_key(spec, params)
  local = pathlib.Path(records_folder(folder, key))
  if not (local / META).is_file():
    origin = dataclasses.asdict(whole.origin())
    tables = UnitTables(annotations, whole.split, origin, whole.truths)
    write_records(local, features, tables, key)
  written = FeatureRecords(local)
  target = records_folder(options.run.out or folder, key)
  _place(local, target)
  size = sum(path.stat().st_size for path in local.iterdir())
  say(
    f"Wrote features of {len(written)} units, {size / 1e6:.0f} MB, to {target}; train "
    f"with --features={options.run.out or folder}"
  )
  return target


def _place(local: pathlib.Path, target: str) -> None:
  """Copies the data set to where it is wanted, unless it is there."""
  if os.path.abspath(target) == os.path.abspath(local):  # noqa: PTH100
    return
  stamp = epath(target) / META
  if stamp.exists():
    found = FeatureRecords(fetched(target, stamp=META))
    if found.digest == FeatureRecords(local).digest:
      return
    raise UserError(
      f"--out: {target} holds features of other exemplars or captions: choose another "
      "folder."
    )
  put(local, target, stamp=META)
