"""Training on features: language model, then captioner, then a release."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.fields import values_of
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.records import Unit
from milan_jax._src.runs.workdir import open_workdir
from milan_jax._src.store import release
from milan_jax._src.store.training_checkpoints import TrainingCheckpoints
from milan_jax._src.text import vocabulary
from milan_jax._src.training import (
  batches,
  loop,
  matching,
  objectives,
  state,
  training_data,
)
from milan_jax._src.training.greedy_bleu import GreedyBleu
from milan_jax._src.training.splitting import Split

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
REPORT = "report.json"
RELEASE = "milan"
PROJECTED = "projected.npy"
CAPTIONER, LANGUAGE_MODEL = "captioner", "language_model"
# Units whose features are read together, to fit a projection or to apply it.
PROJECTED_TOGETHER = 256
# The original's.
DECODING = Decoding("rerank", 15, 50, 0.2)
# Options that the trained weights depend on, beside the data.
_TRAINED_BY = (
  *("batch_size", "lm_batch_size", "hidden_size", "embedding_size", "lm_hidden_size"),
  *("lm_embedding_size", "lm_layers", "dropout", "feature_noise", "resample_regions"),
  *("stray_regions", "learning_rate", "cosine_decay", "weight_decay", "max_epochs"),
  *("stop_by", "patience", "validation_fraction", "test_fraction", "min_count"),
  *("length", "seed"),
)
Progress = Callable[[int, int], None]
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedFeatures:
  """Features of exemplars and descriptions of their units.

  Attributes:
    features: features of each unit's exemplars, by layer; may be memory-mapped.
    units: index in its layer of each row of `features`.
    annotations: descriptions of units. Those without features are reported and left
      out.
    split: the part of each unit, train, validation or test; None splits at random.
  """

  features: training_data.Tables
  units: Mapping[str, Int[np.ndarray, "units"]]
  annotations: Mapping[Unit, Sequence[str]]
  split: Mapping[Unit, str] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TrainedEncoder:
  """The encoder that made the features, for the release.

  Attributes:
    spec: the backbone, named in the release.
    params: its weights, to be released; None if they come from elsewhere.
    projection: projects the features for the captioner; None leaves them as they are.
  """

  spec: release.EncoderSpec
  params: release.Params | None = None
  projection: Projection | None = None


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
) -> dict[str, Any]:
  """Trains on features of exemplars with annotations, and writes a release.

  The run directory gets `checkpoints/`, `metrics.jsonl` (a line an epoch), the release
  `milan/` and, last, `report.json`. The same call goes on where a killed one stopped,
  and the released weights have the same bytes as those of an unbroken run.

  Args:
    data: features and descriptions.
    encoder: what made the features.
    options: sizes, optimizer and release; its paths are not read.
    workdir: the run directory.
    nothing: descriptions of no pattern, for the release.
    card: what the release states about itself, beside the report.
    say: called with a line for people after each epoch.
    progress: called with the number of batches done and of all in an epoch.

  Returns:
    The report.

  Raises:
    UserError: if most annotated units have no features, if the parts of the split would
      be empty or lack an annotated unit, if the directory holds a run on other data or
      with other options, or if the losses are no longer finite.
  """
  found = training_data.find_annotated(data.features, data.units, data.annotations)
  matching.keep_matched(data.annotations, set(found.units), what="features", say=say)
  workdir = pathlib.Path(workdir)
  config = _config(options, found.feature_size, encoder.projection, data.split)
  open_workdir(workdir / CHECKPOINTS, config | {"data": found.fingerprint})
  if is_finished(workdir):
    say(f"{workdir} holds a finished run, and nothing was left to do")
    return read_report(workdir)
  rows = matching.split_rows(
    found.units,
    data.split,
    validation_fraction=options.data.validation_fraction,
    test_fraction=options.data.test_fraction,
    seed=options.run.seed,
    say=say,
  )
  job = _Job(found, rows, encoder, options, config["attention_size"], workdir)
  say(job.summary())
  report, whole = _train_both(job, config, nothing, card or {}, say, progress)
  release.save_release(whole, workdir / RELEASE)
  atomic.write_json(workdir / REPORT, report)
  return report


def _train_both(
  job: "_Job",
  config: Mapping[str, Any],
  nothing: tuple[str, ...],
  card: Mapping[str, Any],
  say: Say,
  progress: Progress,
) -> tuple[dict[str, Any], release.Release]:
  """Trains the language model, then the captioner; returns report and release."""
  decoding = dataclasses.replace(
    DECODING,
    temperature=job.options.release.temperature,
    consensus=job.options.release.consensus,
    nothing=nothing,
  )
  lm_params, params = job.initial_params()
  # What cannot be released is not trained.
  job.released(lm_params, params, decoding, {})
  lm_best = _train(job, LANGUAGE_MODEL, job.lm_trainer(), lm_params, say, progress)
  best = _train(
    job, CAPTIONER, job.trainer(), params, say, progress, before=lm_best.lines
  )
  facts = {
    "units": job.num_units,
    "captions": job.num_captions,
    "words": len(job.vocabulary.tokens),
    "losses": {LANGUAGE_MODEL: lm_best.losses, CAPTIONER: best.losses},
    "options": dict(config),
  }
  whole = job.released(lm_best.params, best.params, decoding, {**card, **facts})
  # Times differ from run to run: they are reported, and not released.
  return {**facts, "epochs": [*lm_best.lines, *best.lines]}, whole


def _config(
  options: TrainOptions,
  feature_size: int,
  projection: Projection | None,
  split: Mapping[Unit, str] | None,
) -> dict[str, Any]:
  """What the trained weights depend on, beside the data."""
  values = values_of(options)
  config = {name: values[name] for name in _TRAINED_BY}
  if projection is not None:
    feature_size = projection.kernel.shape[1]
    config["projection"] = sha256_of([np.asarray(projection.kernel)])
  config["attention_size"] = options.model.attention_size or min(
    options.model.hidden_size, feature_size
  )
  if split is not None:
    config["split"] = _digest(split)
  return config


class _Job:
  """Both models, their data and how they are trained.

  Attributes:
    options: of the run.
    workdir: the run directory.
    parts: captions of the training, validation and test parts.
    vocabulary: the tokens of the training part.
    num_units: units of each part.
    num_captions: captions of each part.
  """

  def __init__(
    self,
    data: training_data.TrainingData,
    rows: Split,
    encoder: TrainedEncoder,
    options: TrainOptions,
    attention_size: int,
    workdir: pathlib.Path,
  ):
    self.options, self.workdir = options, workdir
    self._data, self._rows, self._encoder = data, rows, encoder
    self.vocabulary = vocabulary.build_vocabulary(
      (tokens for row in rows.training for tokens in data.captions[row]),
      min_count=options.data.min_count,
    )
    self.parts = {
      name: batches.make_samples(
        data.captions, each, vocabulary=self.vocabulary, length=options.data.length
      )
      for name, each in rows._asdict().items()
    }
    self.num_units = {name: len(each) for name, each in rows._asdict().items()}
    self.num_captions = {name: len(each.rows) for name, each in self.parts.items()}
    model, projection = options.model, encoder.projection
    feature_size = (
      data.feature_size if projection is None else projection.kernel.shape[1]
    )
    self._language_model = LanguageModel(
      self.vocabulary.vocab_size,
      hidden_size=model.lm_hidden_size,
      embedding_size=model.lm_embedding_size,
      num_layers=model.lm_layers,
      dropout=model.dropout,
      pad_id=self.vocabulary.pad_id,
    )
    self._captioner = Captioner(
      self.vocabulary.vocab_size,
      feature_size,
      hidden_size=model.hidden_size,
      embedding_size=model.embedding_size,
      attention_size=attention_size,
      dropout=model.dropout,
    )

  def summary(self) -> str:
    """What is trained on, for people."""
    captions = [f"{number} for {name}" for name, number in self.num_captions.items()]
    return (
      f"{len(self._data.captions)} units, {len(self.vocabulary.tokens)} words, "
      f"captions: {', '.join(captions)}"
    )

  def initial_params(self) -> tuple[release.Params, release.Params]:
    """Random parameters of the language model and of the captioner."""
    lm_key, key = jax.random.split(jax.random.key(self.options.run.seed))
    tokens = jnp.zeros((1, 1), jnp.int32)
    regions = jnp.zeros((1, 1, self._captioner.feature_size))
    lm_params = jax.jit(self._language_model.init)(lm_key, tokens)["params"]
    params = jax.jit(self._captioner.init)(key, regions, tokens)["params"]
    return lm_params, params

  def released(
    self,
    lm_params: release.Params,
    params: release.Params,
    decoding: Decoding,
    card: Mapping[str, Any],
  ) -> release.Release:
    """Both models as a release."""
    encoder, dtype = self._encoder, self.options.release.dtype
    tree: dict[str, Any] = {"captioner": params, "language_model": lm_params}
    if encoder.params is not None:
      tree["encoder"] = encoder.params
    if encoder.projection is not None:
      tree["projection"] = encoder.projection._asdict()
    return release.Release(
      encoder=encoder.spec,
      captioner=_spec(release.CaptionerSpec, self._captioner),
      language_model=_spec(release.LanguageModelSpec, self._language_model),
      vocabulary=self.vocabulary.tokens,
      decoding=decoding,
      params=jax.tree.map(lambda x: np.asarray(x, dtype), tree),
      card=dict(card),
    )

  def lm_trainer(self) -> loop.Trainer:
    """Trains the language model."""
    size = self.options.optimizer.lm_batch_size
    return loop.Trainer(
      objectives.language_model_objective(
        self._language_model, pad_id=self.vocabulary.pad_id
      ),
      terms=objectives.LANGUAGE_MODEL_TERMS,
      optimizer=self._optimizer(size),
      batch_size=size,
      pad_id=self.vocabulary.pad_id,
    )

  def trainer(self) -> loop.Trainer:
    """Trains the captioner."""
    data, size = self.options.data, self.options.optimizer.batch_size
    return loop.Trainer(
      objectives.captioner_objective(
        self._captioner,
        pad_id=self.vocabulary.pad_id,
        feature_noise=data.feature_noise,
        resample_regions=data.resample_regions,
        stray_regions=data.stray_regions,
      ),
      terms=objectives.CAPTIONER_TERMS,
      optimizer=self._optimizer(size),
      batch_size=size,
      pad_id=self.vocabulary.pad_id,
      gather=self.gather,
    )

  @functools.cached_property
  def gather(self) -> batches.Gather:
    """Reads units' features as the captioner sees them."""
    if self._encoder.projection is None:
      return self._data.gather
    path = self.workdir / PROJECTED
    return _projected(self._data, self._encoder.projection, path)

  def measures(self, model: str) -> dict[str, loop.Measure]:
    """What decides when a model stops, beside its losses, by part."""
    if model != CAPTIONER or self.options.optimizer.stop_by != "bleu":
      return {part: lambda params: {} for part in ("validation", "test")}
    greedy_bleu = GreedyBleu(
      self.gather,
      self._data.summaries,
      vocabulary=self.vocabulary,
      length=DECODING.length,
    )
    return {
      part: functools.partial(greedy_bleu, rows=getattr(self._rows, part))
      for part in ("validation", "test")
    }

  def _optimizer(self, batch_size: int) -> optax.GradientTransformation:
    options = self.options.optimizer
    steps = options.max_epochs * batches.num_batches(self.parts["training"], batch_size)
    return state.make_optimizer(
      options.learning_rate,
      options.weight_decay,
      decay_steps=steps if options.cosine_decay else 0,
    )


def is_finished(workdir: pathlib.Path, *, judged: bool = False) -> bool:
  """Whether a run directory has all that a training run gives.

  Args:
    workdir: the run directory.
    judged: whether the release is to know its confidence too.

  Raises:
    UserError: if its report is damaged.
  """
  if not all((workdir / name).exists() for name in (REPORT, RELEASE)):
    return False
  return not judged or "confidence" in read_report(workdir)


def read_report(workdir: pathlib.Path) -> dict[str, Any]:
  """Reads the report of a finished run.

  Raises:
    UserError: if it is damaged.
  """
  path = workdir / REPORT
  try:
    report = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(report, dict):
      raise ValueError("no object")
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} is damaged ({error}): remove it, and the same command writes it again."
    ) from error
  return report


def _projected(
  data: training_data.TrainingData, projection: Projection, path: pathlib.Path
) -> batches.Gather:
  """Projects all units' features once, into a file, and reads them from it."""
  rows = np.arange(len(data.captions))
  k = data.gather(rows[:1]).shape[1]
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (len(rows), k, projection.kernel.shape[1])
  table = np.lib.format.open_memmap(path, "w+", np.float32, shape)
  for start in range(0, len(rows), PROJECTED_TOGETHER):
    some = rows[start : start + PROJECTED_TOGETHER]
    table[some] = project(data.gather(some), projection)
  return lambda wanted: table[wanted]


def _digest(split: Mapping[Unit, str]) -> str:
  """Differs where a unit is in another part."""
  rows = sorted([unit.layer, unit.index, part] for unit, part in split.items())
  return sha256_of([json.dumps(rows)])


def _spec(kind: type[Any], module: Any) -> Any:
  """Returns the sizes of a module."""
  return kind(**{f.name: getattr(module, f.name) for f in dataclasses.fields(kind)})


class _TrainOutput(NamedTuple):
  """One model's best weights, their losses, and a line of each epoch."""

  params: Any
  losses: dict[str, Any]
  lines: list[dict[str, Any]]


def _train(
  job: _Job,
  name: str,
  trainer: loop.Trainer,
  params: release.Params,
  say: Say,
  progress: Progress,
  *,
  before: Sequence[dict[str, Any]] = (),
) -> _TrainOutput:
  """Trains one model.

  Args:
    job: the data and the options.
    name: of the model.
    trainer: of the model.
    params: to begin with.
    say: called with a line for people after each epoch.
    progress: called with the number of batches done and of all in an epoch.
    before: lines of the epochs of models trained before it.
  """
  options, measures = job.options, job.measures(name)
  stop_by = options.optimizer.stop_by if name == CAPTIONER else "nll"
  lines: list[dict[str, Any]] = []

  def on_epoch(epochs: Sequence[loop.Epoch]) -> None:
    lines[:] = [{"model": name, **dataclasses.asdict(epoch)} for epoch in epochs]
    text = "".join(
      json.dumps(line, sort_keys=True) + "\n" for line in [*before, *lines]
    )
    atomic.write_text(job.workdir / METRICS, text)
    last = epochs[-1]
    say(
      f"{name}, epoch {last.epoch}: training loss {last.training['loss']:.4f}, "
      f"validation {stop_by.upper()} {last.validation[stop_by]:.4f}"
      f"{' *' * last.improved}, "
      f"{last.captions_per_second:.0f} captions/s"
    )

  with TrainingCheckpoints(job.workdir / CHECKPOINTS / name) as checkpoints:
    fitted = trainer.fit(
      params,
      training=job.parts["training"],
      validation=job.parts["validation"],
      checkpoints=checkpoints,
      options=loop.FitOptions(
        stop_by=stop_by,
        max_epochs=options.optimizer.max_epochs,
        patience=options.optimizer.patience,
        checkpoint_every=options.run.checkpoint_every,
        seed=options.run.seed,
      ),
      hooks=loop.FitHooks(measures["validation"], on_epoch, progress),
    )
  best = [epoch for epoch in fitted.epochs if epoch.improved][-1]
  losses = {
    "epoch": best.epoch,
    "stopped_by": stop_by,
    "training": best.training,
    "validation": best.validation,
    "test": trainer.evaluate(fitted.params, job.parts["test"])
    | measures["test"](fitted.params),
  }
  return _TrainOutput(fitted.params, losses, lines)
