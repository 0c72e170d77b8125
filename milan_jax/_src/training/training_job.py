"""The models of a training run, with their data and trainers."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from milan_jax._src.errors import UserError
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.language_models import (
  architecture_of,
  make_language_model,
)
from milan_jax._src.models.word_detectors import WordDetectors, WordDetectorSpec
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.train import OptimizerOptions, TrainOptions
from milan_jax._src.runs.random_keys import random_key
from milan_jax._src.store import release
from milan_jax._src.text import vocabulary
from milan_jax._src.training import (
  batches,
  detected_words,
  loop,
  objectives,
  state,
  training_data,
)
from milan_jax._src.training.greedy_bleu import GreedyBleu
from milan_jax._src.training.splitting import Split

PROJECTED = "projected.npy"
CAPTIONER, LANGUAGE_MODEL = "captioner", "language_model"
WORD_DETECTORS = "word_detectors"
# Number of units whose features are read at once to fit or apply a projection.
PROJECTED_TOGETHER = 256
# As in the original.
DECODING = Decoding("rerank", 15, 50, 0.2, guarded=True)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainedEncoder:
  """The encoder that computed the features, for the release.

  Attributes:
    spec: the backbone's entry in the release.
    params: weights to include in the release; None if they come from elsewhere.
    projection: projects the features for the captioner; None for no projection.
  """

  spec: release.EncoderSpec
  params: release.Params | None = None
  projection: Projection | None = None


class TrainingJob:
  """The models, with their data and trainers.

  Attributes:
    options: options of the run.
    workdir: the run directory.
    vocabulary: the tokens of the training split.
    words: the words that have a detector; empty if the release uses none.
    parts: what each model is trained on, by its name, and then by the split: captions
      or, for the word detectors, the words of units.
    num_units: number of units in each split.
    num_captions: number of captions in each split.

  Raises:
    UserError: if there is no word to detect, though the release uses detectors.
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
    self.words: tuple[str, ...] = ()
    said: list[frozenset[str]] = []
    if options.release.needs_word_detectors:
      said = detected_words.words_of_units(data.captions, self.vocabulary.tokens)
      self.words = detected_words.detected_words(said, rows.training.tolist())
      if not self.words:
        raise UserError(
          f"--word_weight={options.release.word_weight:g}, --coverage="
          f"{options.release.coverage:g}: expected training units of which "
          f"{detected_words.FEWEST} or more, but not all, share a content word; found "
          "none, so there is no word to detect: use 0 for both."
        )
    taken = rows._asdict()
    taken["training"] = np.repeat(rows.training, data.repeats[rows.training])
    captions = {
      name: batches.make_samples(
        data.captions, each, vocabulary=self.vocabulary, length=options.data.length
      )
      for name, each in taken.items()
    }
    self.parts = {LANGUAGE_MODEL: captions, CAPTIONER: captions}
    if self.words:
      self.parts[WORD_DETECTORS] = {
        name: detected_words.word_samples(said, self.words, each.tolist())
        for name, each in taken.items()
      }
    self.num_units = {name: len(each) for name, each in rows._asdict().items()}
    self.num_captions = {name: len(each.rows) for name, each in captions.items()}
    model, projection = options.model, encoder.projection
    feature_size = (
      data.feature_size if projection is None else projection.kernel.shape[1]
    )
    self._language_model = make_language_model(
      model.lm_architecture,
      vocab_size=self.vocabulary.vocab_size,
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
    self._word_detectors = WordDetectors(
      len(self.words),
      options.release.word_hidden_size,
      word_dropout(options),
      options.release.word_hidden_layers,
      options.release.word_members,
    )

  def summary(self) -> str:
    """Describes the training data for the user."""
    captions = [f"{number} for {name}" for name, number in self.num_captions.items()]
    return (
      f"{len(self._data.captions)} units, {len(self.vocabulary.tokens)} words, "
      f"captions: {', '.join(captions)}"
    )

  def initial_params(self) -> dict[str, release.Params]:
    """Returns the initial parameters of each model, in the order of their training."""
    lm_key, key = jax.random.split(random_key(self.options.run.seed))
    tokens = jnp.zeros((1, 1), jnp.int32)
    regions = jnp.zeros((1, 1, self._captioner.feature_size))
    params = {
      LANGUAGE_MODEL: jax.jit(self._language_model.init)(lm_key, tokens)["params"],
      CAPTIONER: jax.jit(self._captioner.init)(key, regions, tokens)["params"],
    }
    if self.words:
      word_key = jax.random.fold_in(key, 1)
      found = jax.jit(self._word_detectors.init)(word_key, regions[:, 0])["params"]
      # Most words are rare: without this the first steps would only learn that.
      samples = self.parts[WORD_DETECTORS]["training"]
      found["output"]["bias"] = jnp.broadcast_to(
        detected_words.log_odds(samples, len(self.words)),
        found["output"]["bias"].shape,
      )
      params[WORD_DETECTORS] = found
    return params

  def released(
    self,
    params: Mapping[str, release.Params],
    decoding: Decoding,
    card: Mapping[str, Any],
  ) -> release.Release:
    """Returns the models as a release.

    Args:
      params: of each model, by its name.
      decoding: the release's default.
      card: entries of its card.
    """
    encoder, dtype = self._encoder, self.options.release.dtype
    tree: dict[str, Any] = dict(params)
    if encoder.params is not None:
      tree["encoder"] = encoder.params
    if encoder.projection is not None:
      tree["projection"] = encoder.projection._asdict()
    words = None
    if self.words:
      words = _spec(WordDetectorSpec, self._word_detectors, words=self.words)
    return release.Release(
      encoder=encoder.spec,
      captioner=_spec(release.CaptionerSpec, self._captioner),
      language_model=_spec(
        release.LanguageModelSpec,
        self._language_model,
        architecture=architecture_of(self._language_model),
      ),
      vocabulary=self.vocabulary.tokens,
      decoding=decoding,
      params=jax.tree.map(lambda x: np.asarray(x, dtype), tree),
      card=dict(card),
      word_detectors=words,
    )

  def trainer(self, model: str) -> loop.Trainer:
    """Returns the trainer of a model, by its name."""
    trainers = {
      LANGUAGE_MODEL: self._lm_trainer,
      CAPTIONER: self._captioner_trainer,
      WORD_DETECTORS: self._word_trainer,
    }
    return trainers[model]()

  def _lm_trainer(self) -> loop.Trainer:
    size = self.options.optimizer.lm_batch_size
    return loop.Trainer(
      objectives.language_model_objective(
        self._language_model,
        pad_id=self.vocabulary.pad_id,
        dtype=self.options.optimizer.compute_dtype,
      ),
      terms=objectives.LANGUAGE_MODEL_TERMS,
      optimizer=self._optimizer(
        LANGUAGE_MODEL, size, self.options.optimizer.lm_base_batch_size
      ),
      batch_size=size,
      pad_id=self.vocabulary.pad_id,
      order=self.options.optimizer.order,
      lengths=self._lengths(),
    )

  def _captioner_trainer(self) -> loop.Trainer:
    options = self.options.optimizer
    return loop.Trainer(
      objectives.captioner_objective(
        self._captioner,
        pad_id=self.vocabulary.pad_id,
        augmentation=self._augmentation(),
        dtype=options.compute_dtype,
      ),
      terms=objectives.CAPTIONER_TERMS,
      optimizer=self._optimizer(CAPTIONER, options.batch_size, options.base_batch_size),
      batch_size=options.batch_size,
      pad_id=self.vocabulary.pad_id,
      gather=self.gather,
      order=options.order,
      lengths=self._lengths(),
    )

  def _word_trainer(self) -> loop.Trainer:
    options = self.options.optimizer
    return loop.Trainer(
      objectives.word_detectors_objective(
        self._word_detectors,
        augmentation=self._augmentation(),
        dtype=options.compute_dtype,
      ),
      terms=objectives.WORD_DETECTOR_TERMS,
      optimizer=self._optimizer(
        WORD_DETECTORS, options.batch_size, options.base_batch_size
      ),
      batch_size=options.batch_size,
      pad_id=len(self.words) + 1,
      gather=self.gather,
      # A step's work does not depend on how many words its units have, so all batches
      # are padded to one length, and there is one program.
      order="random",
      lengths=(self._most_words(),),
      packed=False,
    )

  def _most_words(self) -> int:
    """Returns the number of targets of the unit with the most words."""
    parts = self.parts[WORD_DETECTORS].values()
    return max(int(each.tokens.shape[1]) for each in parts) - 1

  def _augmentation(self) -> objectives.Augmentation:
    data = self.options.data
    return objectives.Augmentation(
      data.feature_noise, data.resample_regions, data.stray_regions
    )

  @functools.cached_property
  def gather(self) -> batches.Gather:
    """The function that reads the captioner's input features of units."""
    if self._encoder.projection is None:
      return self._data.gather
    return _projected(self._data, self._encoder.projection, self._projected_path())

  def _projected_path(self) -> pathlib.Path:
    # Each process reads a file of its own.
    number = jax.process_index()
    return self.workdir / (f"{number}-{PROJECTED}" if number else PROJECTED)

  def remove_projected(self) -> None:
    """Removes the file of projected features, which only the training reads."""
    self._projected_path().unlink(missing_ok=True)

  def measures(self, model: str) -> dict[str, loop.Measure]:
    """Returns the additional stopping metrics of a model, by split."""
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

  def _lengths(self) -> tuple[int, ...]:
    """Returns the lengths that captions are padded to; none in random order.

    In random order a batch is as long as its longest caption, so lengths chosen for
    single captions would not fit.
    """
    if self.options.optimizer.order == "random":
      return ()
    training = self.parts[CAPTIONER]["training"]
    return batches.choose_lengths(training, pad_id=self.vocabulary.pad_id)

  def _optimizer(
    self, model: str, batch_size: int, base: int
  ) -> optax.GradientTransformation:
    options, samples = self.options.optimizer, self.parts[model]["training"]
    steps = options.max_epochs * batches.num_batches(samples, batch_size)
    updates = steps // options.accumulate_steps
    if not updates:
      raise UserError(
        f"--accumulate_steps={options.accumulate_steps}: expected at most the {steps} "
        f"steps that --max_epochs epochs of the {model} have; use fewer, or smaller "
        "batches."
      )
    return state.make_optimizer(
      scaled_rate(options, batch_size, base),
      options.weight_decay,
      warmup_steps=options.warmup_steps,
      decay_steps=updates if options.cosine_decay else 0,
      update_rule=options.update_rule,
      clip_norm=options.clip_norm,
      accumulate_steps=options.accumulate_steps,
    )


def word_dropout(options: TrainOptions) -> float:
  """Returns the dropout rate of the word detectors."""
  own = options.release.word_dropout
  return options.model.dropout if own is None else own


def scaled_rate(options: OptimizerOptions, batch_size: int, base: int) -> float:
  """Returns the learning rate for a batch size.

  Args:
    options: the learning rate at the base, and the rule that scales it.
    batch_size: captions per step; an update has `accumulate_steps` times as many.
    base: captions per update for which `learning_rate` is meant.

  Source: Goyal et al. 2017 (linear); Krizhevsky 2014 and You et al. 2020 (square root).
  """
  ratio = batch_size * options.accumulate_steps / base
  power = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}[options.rate_scaling]
  return float(options.learning_rate * ratio**power)


def _projected(
  data: training_data.TrainingData, projection: Projection, path: pathlib.Path
) -> batches.Gather:
  """Projects all units' features once into a file, and reads them from there."""
  rows = np.arange(len(data.captions))
  k = data.gather(rows[:1]).shape[1]
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (len(rows), k, projection.kernel.shape[1])
  table = np.lib.format.open_memmap(path, "w+", np.float32, shape)
  for start in range(0, len(rows), PROJECTED_TOGETHER):
    some = rows[start : start + PROJECTED_TOGETHER]
    table[some] = project(data.gather(some), projection)
  return lambda wanted: table[wanted]


def _spec(kind: type[Any], module: Any, **known: Any) -> Any:
  """Returns the spec with the sizes of a module, and what it does not know."""
  names = [f.name for f in dataclasses.fields(kind) if f.name not in known]
  return kind(**{name: getattr(module, name) for name in names}, **known)
