"""One trial of an experiment: a captioner is trained, and describes other units.

A finished trial is its `trial.json`; the checkpoints are removed then. A trial that was
killed resumes, within its training and within its descriptions.
"""

import dataclasses
import functools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.api.captioners import Captioner, load
from milan_jax._src.decoding.region_encoder import (
  RegionEncoder,
  encoder_params,
  region_encoder,
)
from milan_jax._src.decoding.search_memory import check_search_fits
from milan_jax._src.experiments.encoded_sets import ExperimentSet
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.json_files import read_json, with_checksum
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.options.experiments import SearchOptions
from milan_jax._src.options.train import (
  NetworkOptions,
  OptimizerOptions,
  ReleaseOptions,
  TrainOptions,
  TrainRunOptions,
)
from milan_jax._src.records import Unit
from milan_jax._src.runs.progress import bar
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.release import (
  CaptionerSpec,
  EncoderSpec,
  LanguageModelSpec,
  Params,
)
from milan_jax._src.training.projection import component_sizes, fit_projection
from milan_jax._src.training.train_milan import (
  CHECKPOINTS,
  RELEASE,
  AnnotatedFeatures,
  train_milan,
)
from milan_jax._src.training.trained_encoder import trained_encoder
from milan_jax._src.training.training_job import PROJECTED_TOGETHER, TrainedEncoder
from milan_jax._src.training.training_ranges import check_ranges

TRIAL = "trial.json"
PMI, LIKELIHOOD = "PMI", "likelihood"
TEST, VALIDATION, TRAIN = "test", "validation", "train"
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class TrialEncoder:
  """The encoder whose features the captioners see.

  Attributes:
    spec: its entry in a release.
    params: its parameters, unless a package contains them.
    sizes: components of the projection, by block; empty for none.
    whitening: power of the deviation that divides them.
  """

  spec: EncoderSpec
  params: Params | None
  sizes: Sequence[int]
  whitening: float

  @functools.cached_property
  def everything(self) -> Params:
    """Its parameters, from wherever they come."""
    found: Params = encoder_params(self.spec, self.params)
    return found

  @functools.cached_property
  def network(self) -> RegionEncoder:
    """The encoder, ready to run."""
    return region_encoder(self.spec, self.everything)


def make_encoder(model: NetworkOptions) -> TrialEncoder:
  """Returns the encoder that options name.

  Raises:
    UserError: if its weights or layers are unknown, or the projection does not fit.
  """
  spec, params = trained_encoder(model)
  whole = TrialEncoder(spec, params, (), model.whitening)
  sizes = component_sizes(model.projection or "", whole.network.blocks)
  return dataclasses.replace(whole, sizes=sizes)


@dataclasses.dataclass(frozen=True, slots=True)
class TrialData:
  """What a trial is given.

  Attributes:
    sets: the networks of its units, by name.
    features: the folder with the features of each network.
    parts: the part of each unit, by its joined name: train, validation or test.
  """

  sets: Mapping[str, ExperimentSet]
  features: pathlib.Path
  parts: Mapping[Unit, str]

  def units(self, *parts: str) -> list[Unit]:
    """Returns the units of some parts, in the order in which they are described."""
    return [
      joined
      for one in self.sets.values()
      for unit in one.units()
      if self.parts.get(joined := one.joined(unit)) in parts
    ]

  def known(self, *parts: str) -> list[Sequence[str]]:
    """Returns the annotations of the units of some parts, in the same order."""
    found: dict[Unit, Sequence[str]] = {}
    for one in self.sets.values():
      found |= one.known()
    return [found[unit] for unit in self.units(*parts)]


def train_options(
  model: NetworkOptions,
  optimizer: OptimizerOptions,
  *,
  temperature: float,
  seed: int,
  checkpoint_every: int,
) -> TrainOptions:
  """Returns the options of a trial's training.

  Raises:
    UserError: if a number is out of its range.
  """
  found = TrainOptions(
    model=model,
    optimizer=optimizer,
    release=ReleaseOptions(temperature=temperature),
    run=TrainRunOptions(seed=seed, checkpoint_every=checkpoint_every),
  )
  check_ranges(found)
  return found


def train_trial(
  folder: pathlib.Path,
  data: TrialData,
  encoder: TrialEncoder,
  options: TrainOptions,
  say: Say,
) -> tuple[Captioner, dict[str, Any]]:
  """Trains a captioner, or resumes; returns it with its losses."""
  tables: dict[str, np.ndarray] = {}
  units: dict[str, list[Unit]] = {}
  annotations: dict[Unit, Sequence[str]] = {}
  for name, one in data.sets.items():
    known = one.known()
    for layer, table in FeatureStore(data.features / name).tables().items():
      own = [one.joined(unit) for unit in one.exemplars.exemplars(layer).signed_units()]
      rows = [row for row, unit in enumerate(own) if unit in data.parts]
      if not rows:
        continue
      joined = own[rows[0]].layer
      tables[joined], units[joined] = table, own
      annotations |= {own[row]: known[own[row]] for row in rows}
  projection = None
  if encoder.sizes:
    batches = _training_features(tables, units, data.parts)
    projection = fit_projection(
      batches, encoder.network.blocks, encoder.sizes, whitening=encoder.whitening
    )
  spec = dataclasses.replace(encoder.spec, projection=sum(encoder.sizes))
  with bar("training", "batches") as show:
    report = train_milan(
      AnnotatedFeatures(tables, units, annotations, data.parts),
      TrainedEncoder(spec, encoder.params, projection=projection),
      options,
      folder,
      say=say,
      progress=show,
    )
  return load(folder / RELEASE), report["losses"]


def _training_features(
  tables: Mapping[str, np.ndarray],
  units: Mapping[str, Sequence[Unit]],
  parts: Mapping[Unit, str],
) -> list[np.ndarray]:
  rows = [
    (layer, row)
    for layer in tables
    for row, unit in enumerate(units[layer])
    if parts.get(unit) == TRAIN
  ]
  starts = range(0, len(rows), PROJECTED_TOGETHER)
  return [
    np.stack([tables[layer][row] for layer, row in rows[i : i + PROJECTED_TOGETHER]])
    for i in starts
  ]


def describe_parts(
  folder: pathlib.Path,
  captioner: Captioner,
  data: TrialData,
  options: DecodingOptions,
  *parts: str,
) -> list[str]:
  """Describes the units of some parts, in the order of `TrialData.units`."""
  said: list[str] = []
  decoding = captioner.resolve(options)
  for name, one in data.sets.items():
    chosen = {}
    for layer in one.exemplars.layers:
      units = one.exemplars.exemplars(layer).signed_units()
      own = [data.parts.get(one.joined(unit)) in parts for unit in units]
      if any(own):
        chosen[layer] = np.flatnonzero(own)
    if not chosen:
      continue
    store = FeatureStore(data.features / name, chosen)
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    journal = captioner.describe_features(store, place, decoding, options)
    said += [each.text for each in journal]
  return said


def decoding_options(search: SearchOptions) -> dict[str, DecodingOptions]:
  """Returns both ways to describe: with mutual information, and by likelihood alone."""
  common: dict[str, Any] = {
    "length": search.length,
    "batch_size": search.decoding_batch_size,
  }
  return {
    PMI: DecodingOptions(
      strategy="rerank",
      beam_size=search.beam_size,
      temperature=search.temperature,
      **common,
    ),
    LIKELIHOOD: DecodingOptions(strategy="greedy", mi=False, **common),
  }


def check_search(model: NetworkOptions, ways: Iterable[DecodingOptions]) -> None:
  """Raises UserError for a search that no captioner can do or no memory holds.

  Args:
    model: sizes of the captioners, which need not be trained.
    ways: how they will describe.
  """
  sizes = _Untrained(model)
  for way in ways:
    decoding = way.resolve(Decoding(), language_model=True)
    check_search_fits(sizes, decoding, way.batch_size, flag="decoding_batch_size")


class _Untrained:
  """Sizes of a captioner before it is trained; those not known yet are the least."""

  feature_size = 1

  def __init__(self, model: NetworkOptions):
    self.captioner = CaptionerSpec(
      feature_size=self.feature_size,
      hidden_size=model.hidden_size,
      embedding_size=model.embedding_size,
      attention_size=1,
      vocab_size=1,
      dropout=model.dropout,
    )
    self.language_model = LanguageModelSpec(
      hidden_size=model.lm_hidden_size,
      embedding_size=model.lm_embedding_size,
      num_layers=model.lm_layers,
      vocab_size=1,
      dropout=model.dropout,
      architecture=model.lm_architecture,
    )


def run_trial(
  folder: pathlib.Path,
  data: TrialData,
  encoder: TrialEncoder,
  options: TrainOptions,
  search: SearchOptions,
  say: Say,
) -> dict[str, Any]:
  """Trains and describes the test part, unless the trial is finished.

  Returns:
    `descriptions` of the test part, by the way they were searched for, and `losses`.

  Raises:
    UserError: as `train_milan`, or if `trial.json` is damaged.
  """
  path = folder / TRIAL
  if path.exists():
    found: dict[str, Any] = read_json(
      path, dict, remedy=f"remove {folder} and run the same command again"
    )
    return found
  captioner, losses = train_trial(folder, data, encoder, options, say)
  found = {
    "descriptions": {
      way: describe_parts(folder / way, captioner, data, how, TEST)
      for way, how in decoding_options(search).items()
    },
    "losses": losses,
  }
  # As it is read back: tuples become lists.
  found = json.loads(json.dumps(with_checksum(found)))
  write_json(path, found)
  tidy(folder)
  return found


def tidy(folder: pathlib.Path) -> None:
  """Removes what only the training needed."""
  shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
