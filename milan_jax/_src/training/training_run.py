"""`milan-train`: from annotated exemplars to a released captioner."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from milan_jax._src.decoding.features import encode_exemplars
from milan_jax._src.decoding.region_encoder import encoder_params, region_encoder
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.json_files import read_json
from milan_jax._src.models.backbones import (
  backbone,
  params_from_state_dict,
  weight_names,
)
from milan_jax._src.models.encoder import Projection
from milan_jax._src.options.fields import values_of
from milan_jax._src.options.train import NetworkOptions, TrainOptions
from milan_jax._src.probe.unit_selection import select_layers
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.workdir import FEATURES, begin_run, check_run, read_run
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.release import INCLUDED, EncoderSpec, Params
from milan_jax._src.store.splits import FILE, read_split
from milan_jax._src.store.truths import MANIFEST, TRUTH, read_truths
from milan_jax._src.text.judge import Truth
from milan_jax._src.text.reconstruction import reconstruct
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.wording import NOTHING_PHRASES
from milan_jax._src.training.calibrate import calibrate, check_truths
from milan_jax._src.training.matching import keep_matched, split_rows
from milan_jax._src.training.permitted_captions import permitted_captions
from milan_jax._src.training.projection import fit_projection
from milan_jax._src.training.splitting import Split
from milan_jax._src.training.train_milan import (
  RELEASE,
  REPORT,
  AnnotatedFeatures,
  is_finished,
  read_report,
  train_milan,
)
from milan_jax._src.training.training_inputs import of_training
from milan_jax._src.training.training_job import PROJECTED_TOGETHER, TrainedEncoder
from milan_jax._src.weights.packaged_weights import package_of
from milan_jax._src.weights.state_dicts import read_state_dict

# Options whose inputs are compared by content; their spelling may change.
_BY_CONTENT = ("exemplars", "annotations", "split", "encoder_weights")
# Options that may change when a run is resumed.
_NOT_IN_RESULTS = ("workdir", "checkpoint_every")
# What the card states of persons.
_PERSONS = (
  "It gives persons no color and judges none by their looks: {number} captions that do "
  "were left out of training, and such descriptions are not given."
)
# Ranges of numeric options, both ends included.
_MANY = 2**31 - 1
_BETWEEN = (
  *((name, 1, 2**20) for name in ("batch_size", "lm_batch_size")),
  *((name, 1, 2**16) for name in ("hidden_size", "embedding_size", "attention_size")),
  *((name, 1, 2**16) for name in ("lm_hidden_size", "lm_embedding_size")),
  *(("lm_layers", 1, 64), ("max_epochs", 1, _MANY), ("patience", 0, _MANY)),
  *(("min_count", 1, _MANY), ("length", 1, _MANY), ("checkpoint_every", 1, _MANY)),
  *(("seed", 0, _MANY), ("dropout", 0, 0.99), ("stray_regions", 0, 1)),
  *(("feature_noise", 0, 1e6), ("whitening", 0, 1), ("weight_decay", 0, 1e6)),
  *(("learning_rate", 1e-12, 1e6), ("consensus", 0, 1e6), ("temperature", 0, 1e6)),
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Inputs:
  """The inputs of a run, read and checked before it begins.

  Attributes:
    corpus: the folder of exemplars.
    exemplars: the exemplars of annotated units.
    annotations: descriptions of units that have exemplars.
    described: all descriptions.
    left_out: captions that were left out of the descriptions.
    rows: rows of the training, validation and test splits.
    split: the split of each unit, if given.
    truths: the truths of units, for the confidence; None if unknown.
  """

  corpus: pathlib.Path
  exemplars: ExemplarSet
  annotations: Mapping[Unit, Sequence[str]]
  described: Mapping[Unit, Sequence[str]]
  left_out: int
  rows: Split
  split: Mapping[Unit, str] | None
  truths: Mapping[Unit, Truth] | None


def train(options: TrainOptions) -> pathlib.Path:
  """Trains a captioner and its language model in a run directory.

  The same call with the same `workdir` resumes a stopped run and releases the same
  bytes as an uninterrupted run.

  Args:
    options: all options of the command.

  Returns:
    The folder of the released captioner.

  Raises:
    UserError: if an input does not exist, most annotated units have no exemplars, the
      split lacks an annotated unit, or the workdir belongs to another run.
  """
  with hold(options.run.workdir) as folder:
    return _train(options, folder)


def _train(options: TrainOptions, folder: pathlib.Path) -> pathlib.Path:
  _check_ranges(options)
  Tokenizer()  # needed hours later; fails now if spaCy is missing
  # All checks come before the run begins.
  before = read_run(folder)
  model = options.model
  spec, params = _encoder(model)
  everything = encoder_params(spec, params)
  network = region_encoder(spec, everything)
  sizes = _sizes(model.projection or "", network.blocks)
  inputs = _read_inputs(options)
  identity = of_training(
    inputs.corpus,
    inputs.described,
    inputs.split,
    everything,
    encoder=model.encoder_weights or model.encoder,
    tables=Tables(folder),
  )
  config = values_of(options)
  config = {name: config[name] for name in config if name not in _NOT_IN_RESULTS}
  if before is None:
    begin_run(folder, config, identity)
  else:
    check_run(folder, before, config, identity=identity, paths=_BY_CONTENT)
  if is_finished(folder, judged=inputs.truths is not None):
    say(f"The captioner in {folder / RELEASE} is finished; nothing is left to do")
    return folder / RELEASE
  with bar("features", "images") as show:
    features = encode_exemplars(
      network.encode,
      inputs.exemplars,
      folder / FEATURES,
      feature_size=network.feature_size,
      pooling=network.pooling,
      progress=show,
    )
  fitted: Projection | None = None
  if sizes:
    fitted = _projection(
      features, inputs.rows.training, network.blocks, sizes, model.whitening
    )
  about = options.release.about
  with bar("training", "batches") as show:
    train_milan(
      AnnotatedFeatures(
        features.tables(),
        {
          name: inputs.exemplars.exemplars(name).signed_units()
          for name in features.layers
        },
        inputs.annotations,
        inputs.split,
      ),
      TrainedEncoder(
        dataclasses.replace(spec, projection=sum(sizes)), params, projection=fitted
      ),
      options,
      folder,
      nothing=_nothing(inputs.corpus),
      card=({"about": about} if about else {})
      | {"persons": _PERSONS.format(number=inputs.left_out)}
      | _sources(inputs.corpus),
      say=say,
      progress=show,
    )
  if inputs.truths is not None and inputs.split is not None:
    _calibrate(folder, features, inputs, options.release.dtype)
  say(
    f"Wrote the captioner to {folder / RELEASE}; "
    f"describe with --milan={folder / RELEASE}"
  )
  return folder / RELEASE


def _check_ranges(options: TrainOptions) -> None:
  values = values_of(options)
  for name, least, largest in _BETWEEN:
    value = values[name]
    if value is not None and not least <= value <= largest:  # also rejects NaN
      raise UserError(f"--{name}: expected {least} to {largest}; found {value}.")


def _read_inputs(options: TrainOptions) -> _Inputs:
  data = options.data
  if not data.exemplars:
    raise UserError("--exemplars: give a folder of annotated exemplars.")
  corpus = pathlib.Path(data.exemplars)
  permitted = permitted_captions(read_annotations(data.annotations or data.exemplars))
  if permitted.left_out:
    say(
      f"{permitted.left_out} captions give persons a color or judge them (such as "
      f"{permitted.example!r}): they are left out"
    )
  described = permitted.captions
  table = pathlib.Path(data.split or corpus / FILE)
  split = read_split(table) if data.split or table.is_file() else None
  found = _annotated(open_exemplars(data.exemplars), described)
  units = [
    unit for layer in found.layers for unit in found.exemplars(layer).signed_units()
  ]
  kept = keep_matched(described, set(units), what="exemplars", say=say)
  rows = split_rows(
    units,
    split,
    validation_fraction=data.validation_fraction,
    test_fraction=data.test_fraction,
    seed=options.run.seed,
    say=say,
    name=str(table),
  )
  truths: Mapping[Unit, Truth] | None = None
  if split is not None:
    split = {unit: split[unit] for unit in units}
    if (corpus / TRUTH).is_file():
      truths = read_truths(corpus)
      check_truths(split, truths)
  left_out = permitted.left_out
  return _Inputs(corpus, found, kept, described, left_out, rows, split, truths)


def _nothing(corpus: pathlib.Path) -> tuple[str, ...]:
  """Returns the decoded form of descriptions that report no pattern."""
  known = (corpus / TRUTH).is_file()
  return tuple(_as_said(NOTHING_PHRASES)) if known else ()


def _encoder(model: NetworkOptions) -> tuple[EncoderSpec, Params | None]:
  """Returns the encoder and, unless a package contains them, its parameters."""
  name, weights, layers = model.encoder, model.encoder_weights, model.encoder_layers
  network = backbone(name)
  levels = network.default_layers
  if layers:
    levels = select_layers(network.layer_names, layers)
  package = None if weights else package_of(name)
  if not package and not weights:
    raise UserError(
      f"--encoder={name}: no package contains its weights; give its state dict "
      "(.pth, .pt or .safetensors) with --encoder_weights."
    )
  params: Params | None = None
  if weights:
    state_dict = read_state_dict(weights, weight_names(name), say=say)
    params = dict(params_from_state_dict(name, state_dict, head=False))
  spec = EncoderSpec(
    name,
    tuple(levels),
    tuple(value / 255 for value in network.preprocessing.mean),
    tuple(value / 255 for value in network.preprocessing.std),
    package or INCLUDED,
    pooling=model.pooling,
  )
  return spec, params


def _sizes(projection: str, channels: Sequence[int]) -> list[int]:
  """Parses the number of components per level; empty for no projection."""
  if not projection:
    return []
  words = projection.split(",")
  sizes = [int(word) if word.strip().isdecimal() else 0 for word in words]
  fits = len(sizes) == len(channels) and all(
    1 <= size <= number for size, number in zip(sizes, channels, strict=False)
  )
  if not fits:
    raise UserError(
      f"--projection={projection}: expected {len(channels)} numbers, one for each "
      f"encoder layer (twice, and one for the geometry, with --pooling=context), from "
      f"1 to {','.join(map(str, channels))}."
    )
  return sizes


def _projection(
  features: FeatureStore,
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


def _sources(exemplars: pathlib.Path) -> dict[str, Any]:
  """Returns a corpus's entries for the card: the digests of training photographs."""
  path = exemplars / MANIFEST
  if not path.is_file():
    return {}
  manifest = read_json(path, dict, remedy="build the corpus again")
  try:
    return {
      "trained_on": [
        row["sha256"][:16]
        for row in manifest.get("photographs", ())
        if row["split"] in ("train", "validation")
      ]
    }
  except (TypeError, KeyError) as error:
    raise UserError(
      f"{path}: expected photographs with sha256 and split ({error}): build the corpus "
      "again."
    ) from error


def _calibrate(
  folder: pathlib.Path, features: FeatureStore, inputs: _Inputs, dtype: str
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


def _as_said(captions: Sequence[str]) -> list[str]:
  """Tokenizes and joins captions like a captioner: "cannot" becomes two words."""
  split = Tokenizer()
  return [reconstruct(split(caption)).lower() for caption in captions]


def _annotated(
  whole: ExemplarSet, annotations: Mapping[Unit, Sequence[str]]
) -> ExemplarSet:
  """Leaves out units and layers without annotations, which need no features."""
  rows = {}
  for layer in whole.layers:
    units = whole.exemplars(layer).signed_units()
    known = [row for row, unit in enumerate(units) if unit in annotations]
    if known:
      rows[layer] = np.array(known)
  if not rows:
    layers = sorted({unit.layer for unit in annotations})
    raise UserError(
      f"No annotated unit has exemplars: annotated are units of {', '.join(layers[:8])}"
      f"; exemplars are of {', '.join(whole.layers[:8])}."
    )
  return ChosenExemplars(whole, rows)
