"""`milan-train --compile_only`: the training steps, compiled and not run."""

import jax

from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark import compiled
from milan_jax._src.lab.benchmark.measurements import Row
from milan_jax._src.lab.benchmark.peaked import REGIONS
from milan_jax._src.lab.benchmark.programs import (
  DetectorSizes,
  Program,
  step_program,
)
from milan_jax._src.lab.benchmark.table import format_table
from milan_jax._src.lab.benchmark.targets import target_devices
from milan_jax._src.models.backbones import backbone
from milan_jax._src.models.region_features import feature_blocks
from milan_jax._src.options.train import NetworkOptions, TrainOptions
from milan_jax._src.probe.unit_selection import select_layers
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.runs.progress import say
from milan_jax._src.store.release import CaptionerSpec, LanguageModelSpec
from milan_jax._src.training.batches import LENGTH_MULTIPLE
from milan_jax._src.training.objectives import Augmentation
from milan_jax._src.training.state import make_optimizer
from milan_jax._src.training.throughput import PEAKS, product_flops
from milan_jax._src.training.training_job import word_dropout
from milan_jax._src.training.training_ranges import check_ranges

# What the data decides: words, specials included, and a long caption with its stop. Few
# human captions are longer; their program needs more memory.
VOCAB_SIZE, LENGTH = 5000, 28
# Words that have a detector, as large a share as in the starter, and words of a unit.
NUM_DETECTED, WORDS_OF_UNIT = 3000, 30
_COLUMNS = (
  ("program", "program", "{}"),
  ("dtype", "dtype", "{}"),
  ("batch", "batch", "{}"),
  ("batch_per_device", "a device", "{}"),
  ("length", "length", "{}"),
  ("arguments_mb", "arguments MB", "{:.0f}"),
  ("temp_mb", "temporary MB", "{:.0f}"),
  ("hbm_mb", "memory MB", "{:.0f}"),
  ("collectives", "collectives", "{}"),
  ("collective_mb", "their MB", "{:.1f}"),
  ("tflop", "TFLOP", "{:.3f}"),
  ("least_ms", "least ms", "{:.2f}"),
  ("compile_s", "compile s", "{:.0f}"),
)


def compile_training(options: TrainOptions, target: str) -> str:
  """Compiles the models' steps for devices that this machine may lack.

  These are the language model, the captioner and, if the options ask for them, the word
  detectors.

  Args:
    options: the options of the training; batches are over all devices.
    target: h100, h200, or a TPU topology such as `v5e:16x16`.

  Returns:
    A table of memory and collectives, and what it means, to be printed.

  Raises:
    UserError: if an option is out of its range, the target is unknown, its compiler is
      not installed, or a step does not fit into its memory.
  """
  check_ranges(options)
  feature_size = _feature_size(options.model)
  # An accelerator of this machine is not needed, and could be busy.
  jax.config.update("jax_platforms", "cpu")
  devices = target_devices(target, option="--compile_only")
  rows: list[Row] = []
  for program in _programs(options, feature_size, make_mesh(devices)):
    say(f"compiling {program} for {target} ...")
    rows.append(_row(program, target, devices[0].device_kind))
  peak = PEAKS.get(devices[0].device_kind)
  captioner = rows[1]
  regions = captioner["batch"] * REGIONS * feature_size * 4 / 1e6
  detected = f", {NUM_DETECTED} with a detector" if _has_detectors(options) else ""
  lines = [
    compiled.heading(target, devices),
    format_table(rows, _COLUMNS),
    f"Sizes that the data decides: {VOCAB_SIZE} words{detected}, {REGIONS} regions a "
    f"unit, captions padded to {captioner['length']} tokens. Memory is of one device.",
    f"A step of the captioner reads {regions:.0f} MB of features, over all processes.",
  ]
  if peak is not None:
    lines.append(
      "least ms: the products at the devices' peak for bfloat16; float32 takes several "
      "times as long. Collectives, memory traffic and input come on top. The output "
      "layer is counted for all tokens; in training it reads only real ones."
    )
  return "\n".join(lines)


def _row(program: Program, target: str, kind: str) -> Row:
  row = compiled.compile_program(
    program, target, milan="", smaller="--batch_size and --lm_batch_size, or --length"
  )
  assert program.trace is not None, "it is a training step"
  flops = product_flops(program.trace().jaxpr.jaxpr)
  peak = PEAKS.get(kind)
  listed = ", ".join(f"{number} {name}" for name, number in row["collectives"].items())
  return row | {
    "collectives": listed or None,
    "collective_mb": row["collective_mb"] or None,
    "tflop": flops / 1e12,
    "least_ms": None if peak is None else 1e3 * flops / peak / program.devices,
  }


def _has_detectors(options: TrainOptions) -> bool:
  return options.release.needs_word_detectors


def _programs(
  options: TrainOptions, feature_size: int, mesh: jax.sharding.Mesh
) -> list[Program]:
  """Returns the steps in the order of the training."""
  model, optimizer, data = options.model, options.optimizer, options.data
  language_model = LanguageModelSpec(
    hidden_size=model.lm_hidden_size,
    embedding_size=model.lm_embedding_size,
    num_layers=model.lm_layers,
    vocab_size=VOCAB_SIZE,
    dropout=model.dropout,
    architecture=model.lm_architecture,
  )
  captioner = CaptionerSpec(
    feature_size=feature_size,
    hidden_size=model.hidden_size,
    embedding_size=model.embedding_size,
    attention_size=model.attention_size or min(model.hidden_size, feature_size),
    vocab_size=VOCAB_SIZE,
    dropout=model.dropout,
  )
  length = LENGTH if data.length is None else data.length + 1
  if optimizer.order == "random":
    length = -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
  rule = make_optimizer(
    optimizer.learning_rate,
    optimizer.weight_decay,
    warmup_steps=optimizer.warmup_steps,
    update_rule=optimizer.update_rule,
    clip_norm=optimizer.clip_norm,
    accumulate_steps=optimizer.accumulate_steps,
  )
  steps: list[tuple[CaptionerSpec | LanguageModelSpec | DetectorSizes, int, int]] = [
    (language_model, optimizer.lm_batch_size, length),
    (captioner, optimizer.batch_size, length),
  ]
  if _has_detectors(options):
    detectors = DetectorSizes(
      NUM_DETECTED,
      options.release.word_hidden_size,
      options.release.word_hidden_layers,
      options.release.word_members,
      feature_size,
      word_dropout(options),
    )
    steps.append((detectors, optimizer.batch_size, WORDS_OF_UNIT + 1))
  return [
    step_program(
      spec,
      rule,
      mesh,
      captions=-(-size // mesh.size) * mesh.size,
      inputs=inputs,
      dtype=optimizer.compute_dtype,
      augmentation=Augmentation(
        data.feature_noise, data.resample_regions, data.stray_regions
      ),
    )
    for spec, size, inputs in steps
  ]


def _feature_size(model: NetworkOptions) -> int:
  """Returns the size of the captioner's inputs; needs no weights."""
  if model.projection:
    words = [word.strip() for word in model.projection.split(",")]
    if not all(word.isdecimal() for word in words):
      raise UserError(
        f"--projection={model.projection}: expected whole numbers, comma-separated."
      )
    return sum(map(int, words))
  network = backbone(model.encoder)
  levels = network.default_layers
  if model.encoder_layers:
    levels = select_layers(network.layer_names, model.encoder_layers)
  shapes = network.shapes(levels, network.preprocessing.crop)
  channels = [shape[-1] for shape in shapes.values()]
  return sum(
    feature_blocks(channels, "placed" if model.pooling == "placed" else "inside")
  )
