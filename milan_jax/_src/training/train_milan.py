"""Training on features: language model, then captioner, then a release."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from milan_jax._src.decoding.decoder import check_choice
from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.language_model import LanguageModel
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

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
REPORT = "report.json"
RELEASE = "milan"
PROJECTED = "projected.npy"
# Units whose features are read together, to fit a projection or to apply it.
PROJECTED_TOGETHER = 256
# The original's.
DECODING = release.DecodingSpec("rerank", 15, 50, 0.2)
Progress = Callable[[int, int], None]


def train_milan(
  *,
  features: training_data.Tables,
  units: Mapping[str, Int[np.ndarray, "units"]],
  annotations: Mapping[Unit, Sequence[str]],
  encoder: release.EncoderSpec,
  encoder_params: release.Params | None = None,
  projection: Projection | None = None,
  workdir: str | pathlib.Path,
  batch_size: int = 64,
  lm_batch_size: int = 128,
  hidden_size: int = 512,
  embedding_size: int = 128,
  attention_size: int | None = None,
  lm_hidden_size: int = 512,
  lm_embedding_size: int = 128,
  lm_layers: int = 2,
  dropout: float = 0.5,
  feature_noise: float = 0.0,
  resample_regions: bool = False,
  stray_regions: float = 0.0,
  learning_rate: float = 1e-3,
  cosine_decay: bool = False,
  weight_decay: float = 1e-2,
  max_epochs: int = 100,
  stop_by: str = "nll",
  patience: int = 4,
  validation_fraction: float = 0.1,
  test_fraction: float = 0.1,
  min_count: int = 1,
  length: int | None = None,
  seed: int = 0,
  checkpoint_every: int = 500,
  split: Mapping[Unit, str] | None = None,
  decoding: release.DecodingSpec = DECODING,
  dtype: str = "float32",
  card: Mapping[str, Any] | None = None,
  say: Callable[[str], None] = lambda line: None,
  progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
  """Trains on features of exemplars with annotations, and writes a release.

  The run directory gets `checkpoints/`, `metrics.jsonl` (a line an epoch), the release
  `milan/` and, last, `report.json`. The same call goes on where a killed one stopped,
  and the released weights have the same bytes as those of an unbroken run.

  Args:
    features: features of each unit's exemplars, by layer; may be memory-mapped.
    units: index in its layer of each row of `features`.
    annotations: descriptions of units. Those without features are said and left out.
    encoder: the backbone that made the features, to be named in the release.
    encoder_params: its weights, to be released; None if they come from elsewhere.
    projection: what brings the features to the captioner; None if it sees them as they
      are.
    workdir: the run directory.
    batch_size: captions in a batch of the captioner.
    lm_batch_size: captions in a batch of the language model.
    hidden_size: size of the captioner's state.
    embedding_size: size of the captioner's token embeddings.
    attention_size: size of the attention's hidden layer; by default the lesser of
      `hidden_size` and the features' size, as in the original.
    lm_hidden_size: size of the language model's states.
    lm_embedding_size: size of the language model's token embeddings.
    lm_layers: number of the language model's layers.
    dropout: rate of both models.
    feature_noise: deviation of noise on the features, in training only.
    resample_regions: whether a unit's regions are drawn with replacement in training.
    stray_regions: share of a unit's regions, at most, that other units' regions take
      the place of, in training only.
    learning_rate: step size of AdamW.
    cosine_decay: whether it falls to 0 along half a cosine in `max_epochs`.
    weight_decay: decay of AdamW, before the step size multiplies it.
    max_epochs: stop after so many epochs in any case.
    stop_by: what stops the captioner, and decides which epoch is released, over the
      validation part: nll, the likelihood of a token without the attention penalty; or
      bleu, of greedy captions, as the original does by default.
    patience: epochs in a row without improvement that are forgiven.
    validation_fraction: share of the units that decide when to stop.
    test_fraction: share of the units that the report is about.
    min_count: times that a token appears in the training part to be known.
    length: number of tokens kept of a caption; that of the longest by default.
    seed: decides the split, the initial weights, the shuffling and the dropout.
    checkpoint_every: steps between two checkpoints within an epoch.
    split: the part of each unit, train, validation or test; None splits at random.
    decoding: how the release decodes by default.
    dtype: of the released weights, float32 or float16.
    card: what the release says of itself, beside the report.
    say: called with a line for people after each epoch.
    progress: called with the number of batches done and of all in an epoch.

  Returns:
    The report.

  Raises:
    UserError: if most annotated units have no features, if the parts of the split would
      be empty or lack an annotated unit, if the directory holds a run on other data or
      with other options, or if the losses are no longer finite.
  """
  options: dict[str, Any] = {
    "batch_size": batch_size,
    "lm_batch_size": lm_batch_size,
    "hidden_size": hidden_size,
    "embedding_size": embedding_size,
    "lm_hidden_size": lm_hidden_size,
    "lm_embedding_size": lm_embedding_size,
    "lm_layers": lm_layers,
    "dropout": dropout,
    "feature_noise": feature_noise,
    "resample_regions": resample_regions,
    "stray_regions": stray_regions,
    "learning_rate": learning_rate,
    "cosine_decay": cosine_decay,
    "weight_decay": weight_decay,
    "max_epochs": max_epochs,
    "stop_by": stop_by,
    "patience": patience,
    "validation_fraction": validation_fraction,
    "test_fraction": test_fraction,
    "min_count": min_count,
    "length": length,
    "seed": seed,
  }
  check_choice("--stop_by", tuple(loop.CRITERIA), stop_by)
  data = training_data.find_annotated(features, units, annotations)
  matching.keep_matched(annotations, set(data.units), what="features", say=say)
  workdir = pathlib.Path(workdir)
  feature_size = data.feature_size
  if projection is not None:
    feature_size = projection.kernel.shape[1]
    options["projection"] = hashlib.sha256(
      np.ascontiguousarray(projection.kernel).tobytes()
    ).hexdigest()
  attention_size = attention_size or min(hidden_size, feature_size)
  options["attention_size"] = attention_size
  if split is not None:
    options["split"] = _digest(split)
  open_workdir(workdir / CHECKPOINTS, options | {"data": data.fingerprint})
  if is_finished(workdir):
    say(f"{workdir} holds a finished run, and nothing was left to do")
    return read_report(workdir)

  rows_of = matching.split_rows(
    data.units,
    split,
    validation_fraction=validation_fraction,
    test_fraction=test_fraction,
    seed=seed,
    say=say,
  )
  known = vocabulary.build_vocabulary(
    (tokens for row in rows_of.training for tokens in data.captions[row]),
    min_count=min_count,
  )
  parts = {
    name: batches.make_samples(data.captions, rows, vocabulary=known, length=length)
    for name, rows in rows_of._asdict().items()
  }
  num_captions = {name: len(samples.rows) for name, samples in parts.items()}
  say(
    f"{len(data.captions)} units, {len(known.tokens)} words, captions: "
    + ", ".join(f"{number} for {name}" for name, number in num_captions.items())
  )
  language_model = LanguageModel(
    known.vocab_size,
    hidden_size=lm_hidden_size,
    embedding_size=lm_embedding_size,
    num_layers=lm_layers,
    dropout=dropout,
    pad_id=known.pad_id,
  )
  captioner = Captioner(
    known.vocab_size,
    feature_size,
    hidden_size=hidden_size,
    embedding_size=embedding_size,
    attention_size=attention_size,
    dropout=dropout,
  )
  lm_key, key = jax.random.split(jax.random.key(seed))
  tokens = jnp.zeros((1, 1), jnp.int32)
  regions = jnp.zeros((1, 1, feature_size))
  lm_params = jax.jit(language_model.init)(lm_key, tokens)["params"]
  params = jax.jit(captioner.init)(key, regions, tokens)["params"]

  def released(params, lm_params, card):
    included = {} if encoder_params is None else {"encoder": encoder_params}
    if projection is not None:
      included["projection"] = projection._asdict()
    models = {"captioner": params, "language_model": lm_params}
    return release.Release(
      encoder=encoder,
      captioner=_spec(release.CaptionerSpec, captioner),
      language_model=_spec(release.LanguageModelSpec, language_model),
      vocabulary=known.tokens,
      decoding=decoding,
      params=jax.tree.map(lambda x: np.asarray(x, dtype), included | models),
      card=card,
    )

  released(params, lm_params, {})  # What cannot be released is not trained.
  train = functools.partial(
    _train,
    parts=parts,
    workdir=workdir,
    say=say,
    max_epochs=max_epochs,
    patience=patience,
    checkpoint_every=checkpoint_every,
    seed=seed,
    progress=progress,
  )

  def optimizer(batch_size):
    steps = max_epochs * batches.num_batches(parts["training"], batch_size)
    return state.make_optimizer(
      learning_rate, weight_decay, decay_steps=steps if cosine_decay else 0
    )

  lm_trainer = loop.Trainer(
    objectives.language_model_objective(language_model, pad_id=known.pad_id),
    terms=objectives.LANGUAGE_MODEL_TERMS,
    optimizer=optimizer(lm_batch_size),
    batch_size=lm_batch_size,
    pad_id=known.pad_id,
  )
  gather = data.gather
  if projection is not None:
    gather = _projected(data, projection, workdir / PROJECTED)
  trainer = loop.Trainer(
    objectives.captioner_objective(
      captioner,
      pad_id=known.pad_id,
      feature_noise=feature_noise,
      resample_regions=resample_regions,
      stray_regions=stray_regions,
    ),
    terms=objectives.CAPTIONER_TERMS,
    optimizer=optimizer(batch_size),
    batch_size=batch_size,
    pad_id=known.pad_id,
    gather=gather,
  )
  lm_params, lm_losses, lm_epochs = train("language_model", lm_trainer, lm_params)
  measures: dict[str, loop.Measure] = {}
  if stop_by == "bleu":
    greedy_bleu = GreedyBleu(
      gather, data.summaries, vocabulary=known, length=decoding.length
    )
    measures = {
      name: functools.partial(greedy_bleu, rows=getattr(rows_of, name))
      for name in ("validation", "test")
    }
  params, losses, epochs = train(
    "captioner", trainer, params, before=lm_epochs, stop_by=stop_by, measures=measures
  )
  facts = {
    "units": {name: len(rows) for name, rows in rows_of._asdict().items()},
    "captions": num_captions,
    "words": len(known.tokens),
    "losses": {"language_model": lm_losses, "captioner": losses},
    "options": options,
  }
  release.save_release(
    released(params, lm_params, {**(card or {}), **facts}), workdir / RELEASE
  )
  # Times differ from run to run: they are reported, and not released.
  report = {**facts, "epochs": [*lm_epochs, *epochs]}
  atomic.write_json(workdir / REPORT, report)
  return report


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
  return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _spec(kind: type[Any], module: Any) -> Any:
  """Returns the sizes of a module."""
  return kind(**{f.name: getattr(module, f.name) for f in dataclasses.fields(kind)})


def _train(
  name,
  trainer,
  params,
  *,
  parts,
  workdir,
  say,
  before=(),
  stop_by="nll",
  measures=None,
  **options,
):
  """Trains one model; returns its best weights, their losses, and the epochs."""
  measures = measures or {part: lambda params: {} for part in ("validation", "test")}
  lines: list[dict[str, Any]] = []

  def on_epoch(epochs):
    lines[:] = [{"model": name, **dataclasses.asdict(epoch)} for epoch in epochs]
    text = "".join(
      json.dumps(line, sort_keys=True) + "\n" for line in [*before, *lines]
    )
    atomic.write_text(workdir / METRICS, text)
    last = epochs[-1]
    say(
      f"{name}, epoch {last.epoch}: training loss {last.training['loss']:.4f}, "
      f"validation {stop_by.upper()} {last.validation[stop_by]:.4f}"
      f"{' *' * last.improved}, "
      f"{last.captions_per_second:.0f} captions/s"
    )

  with TrainingCheckpoints(workdir / CHECKPOINTS / name) as checkpoints:
    fitted = trainer.fit(
      params,
      training=parts["training"],
      validation=parts["validation"],
      checkpoints=checkpoints,
      stop_by=stop_by,
      measure=measures["validation"],
      on_epoch=on_epoch,
      **options,
    )
  best = [epoch for epoch in fitted.epochs if epoch.improved][-1]
  losses = {
    "epoch": best.epoch,
    "stopped_by": stop_by,
    "training": best.training,
    "validation": best.validation,
    "test": trainer.evaluate(fitted.params, parts["test"])
    | measures["test"](fitted.params),
  }
  return fitted.params, losses, lines
