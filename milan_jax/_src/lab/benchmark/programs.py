"""The programs of milan-jax, to be compiled for devices that may be absent.

All inputs are shapes: no weights are needed. Decoder and training steps spread a batch
over all devices; the encoder runs on one.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from milan_jax._src.decoding.decoder import decode_on, fuse_for
from milan_jax._src.decoding.program import AXIS
from milan_jax._src.decoding.region_encoder import encode_by
from milan_jax._src.decoding.release_words import release_words
from milan_jax._src.images.sizes import sides
from milan_jax._src.lab.benchmark.peaked import REGIONS
from milan_jax._src.models import lowering
from milan_jax._src.models.backbones import backbone
from milan_jax._src.models.backbones.registry import parameter_shapes
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.models.word_detectors import WordDetectors
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.store.release import (
  INCLUDED,
  CaptionerSpec,
  LanguageModelSpec,
  Release,
)
from milan_jax._src.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from milan_jax._src.training import objectives
from milan_jax._src.training.batches import Batch
from milan_jax._src.training.losses import no_terms
from milan_jax._src.training.state import make_optimizer, start_state
from milan_jax._src.training.step import Objective, make_step

NAMES = ("decoder", "encoder", "captioner_step", "language_model_step")


@dataclasses.dataclass(frozen=True)
class Grid:
  """The programs to compile, and their sizes: all combinations.

  Attributes:
    programs: some of `NAMES`.
    strategies: how the decoder searches.
    batches: units, images or captions of one device.
    beams: hypotheses per unit.
    lengths: maximum tokens of a description; training reads one more, the start.
    dtypes: precisions; only the decoder has tensorfloat32.
  """

  programs: tuple[str, ...]
  strategies: tuple[str, ...]
  batches: tuple[int, ...]
  beams: tuple[int, ...]
  lengths: tuple[int, ...]
  dtypes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class DetectorSizes:
  """Sizes of the word detectors of a captioner that is to be trained.

  Attributes:
    num_words: number of words that have a detector.
    hidden_size: size of each hidden layer.
    hidden_layers: number of hidden layers.
    members: number of networks.
    feature_size: size of a region's features.
    dropout: dropout rate of the hidden layers.
  """

  num_words: int
  hidden_size: int
  hidden_layers: int
  members: int
  feature_size: int
  dropout: float


@dataclasses.dataclass(frozen=True)
class Program:
  """A program that can be lowered.

  Attributes:
    name: what it does.
    dtype: precision of its products.
    batch: units, images or captions, over all devices.
    devices: number of devices.
    sizes: other sizes, by name.
    lower: traces and lowers it.
    trace: traces it; None where `lower` alone is known.
  """

  name: str
  dtype: str
  batch: int
  devices: int
  sizes: dict[str, int | str]
  lower: Callable[[], Any]
  trace: Callable[[], Any] | None = None

  def __str__(self) -> str:
    """Returns its name, precision and sizes."""
    sizes = "".join(f", {name} {size}" for name, size in self.sizes.items())
    return f"{self.name}, {self.dtype}, batch {self.batch}{sizes}"


def programs(
  release: Release, grid: Grid, devices: Sequence[jax.Device]
) -> Iterator[Program]:
  """Yields the programs of a captioner.

  Args:
    release: the captioner; its parameters may be shapes.
    grid: which programs.
    devices: devices to compile for.
  """
  mesh = make_mesh(devices)
  if "decoder" in grid.programs:
    yield from _decoders(release, grid, mesh)
  if "encoder" in grid.programs:
    yield from _encoders(release, grid, devices[0])
  for name in ("captioner_step", "language_model_step"):
    if name not in grid.programs:
      continue
    if name == "captioner_step" or release.language_model is not None:
      yield from _steps(name, release, grid, mesh)


def _decoders(release: Release, grid: Grid, mesh: Mesh) -> Iterator[Program]:
  shapes = {
    part: _shapes(release.params[part])
    for part in ("captioner", "language_model", "projection", "word_detectors")
    if part in release.params
  }
  vocabulary = Vocabulary(release.vocabulary)
  for strategy, batch, beam, length, dtype in itertools.product(
    grid.strategies, grid.batches, grid.beams, grid.lengths, grid.dtypes
  ):
    if strategy == "rerank" and release.language_model is None:
      continue
    searches = strategy != "greedy"
    if not searches and beam != grid.beams[0]:
      continue
    decoding = Decoding(
      strategy,
      length=length,
      beam_size=beam,
      temperature=release.decoding.temperature,
      consensus=release.decoding.consensus if strategy == "rerank" else 0.0,
      word_weight=release.decoding.word_weight if strategy == "rerank" else 0.0,
      coverage=release.decoding.coverage if strategy == "rerank" else 0.0,
      precision=dtype,
    )
    units = batch * mesh.size

    def lower(decoding: Decoding = decoding, units: int = units) -> Any:
      everywhere = NamedSharding(mesh, PartitionSpec())
      weights = jax.eval_shape(
        fuse_for(decoding, mesh.devices.flat[0].platform), shapes
      )
      words = release_words(release, decoding.length)
      features = (units, REGIONS, release.feature_size)
      return decode_on(mesh, decoding, vocabulary, words).lower(
        _placed(weights, everywhere),
        _rows(mesh, features, jnp.float32),
        _rows(mesh, (units,), jnp.bool),
        _rows(mesh, (units, 2), jnp.uint32),
      )

    sizes = {"beam": beam} if searches else {}
    sizes |= {"length": length, "vocab": release.captioner.vocab_size}
    yield Program(strategy, dtype, units, mesh.size, dict(sizes), lower)


def _encoders(release: Release, grid: Grid, device: jax.Device) -> Iterator[Program]:
  spec = release.encoder
  network = backbone(spec.backbone)
  crop = network.preprocessing.crop
  if spec.weights == INCLUDED:
    params = release.params["encoder"]
  else:
    params = parameter_shapes(network.module.clone(num_classes=None), crop)
  alone = jax.sharding.SingleDeviceSharding(device)
  kinds: dict[str, lowering.Rounding] = {"float32": "float32", "bfloat16": "bfloat16"}
  for batch, dtype in itertools.product(grid.batches, grid.dtypes):
    if dtype not in kinds:
      continue

    def lower(batch: int = batch, rounding: lowering.Rounding = kinds[dtype]) -> Any:
      images = jax.ShapeDtypeStruct((batch, *sides(crop), 3), jnp.uint8, sharding=alone)
      with lowering.use_lowering("tpu" if device.platform == "tpu" else "plain"):
        program = encode_by(spec, rounding=rounding)
        return program.lower(_placed(_shapes(params), alone), images)

    yield Program("encoder", dtype, batch, 1, {"backbone": spec.backbone}, lower)


def _steps(name: str, release: Release, grid: Grid, mesh: Mesh) -> Iterator[Program]:
  spec = release.captioner if name == "captioner_step" else release.language_model
  assert spec is not None, "checked by the caller"
  optimizer = make_optimizer()
  for batch, length, dtype in itertools.product(
    grid.batches, grid.lengths, grid.dtypes
  ):
    if dtype in ("float32", "bfloat16"):
      yield step_program(
        spec,
        optimizer,
        mesh,
        captions=batch * mesh.size,
        inputs=length + 1,
        dtype=dtype,
      )


def step_program(
  spec: CaptionerSpec | LanguageModelSpec | DetectorSizes,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  *,
  captions: int,
  inputs: int,
  dtype: str = "float32",
  augmentation: objectives.Augmentation = objectives.NO_AUGMENTATION,
) -> Program:
  """Returns the training step of a captioner, a language model, or word detectors.

  Args:
    spec: the model's sizes, which tell its kind.
    optimizer: the optimizer.
    mesh: the devices that the batch is spread over.
    captions: captions (for word detectors, units) of a batch, over all devices, a
      multiple of their number.
    inputs: tokens that are read of a caption: the start and its own. For word
      detectors, the largest number of words of a unit, and one.
    dtype: type that the operands of products are rounded to.
    augmentation: of the features.
  """
  model = _step_model(spec, dtype, augmentation)

  def trace() -> Any:
    everywhere = NamedSharding(mesh, PartitionSpec())
    params = jax.eval_shape(model.initialize, jax.random.key(0))["params"]
    state = jax.eval_shape(
      lambda params: start_state(params, optimizer=optimizer, seed=0), params
    )
    tokens = _rows(mesh, (captions, inputs), jnp.int32)
    weights = _rows(mesh, (captions,), jnp.float32)
    regions = None
    if not isinstance(spec, LanguageModelSpec):
      shape = (captions, REGIONS, spec.feature_size)
      regions = _rows(mesh, shape, jnp.float32)
    batch = Batch(tokens, tokens, weights, regions)
    so_far = jax.eval_shape(lambda: no_terms(model.terms))
    step: Any = make_step(model.objective, optimizer)
    return step.trace(_placed(state, everywhere), _placed(so_far, everywhere), batch)

  sizes: dict[str, int | str] = {"length": inputs}
  if isinstance(spec, DetectorSizes):
    sizes["words"] = spec.num_words
  else:
    sizes["vocab"] = spec.vocab_size
  return Program(
    model.name, dtype, captions, mesh.size, sizes, lambda: trace().lower(), trace
  )


class _StepModel(NamedTuple):
  """What differs between the models' steps."""

  name: str
  objective: Objective
  terms: tuple[str, ...]
  initialize: Callable[[Any], Any]


def _step_model(
  spec: CaptionerSpec | LanguageModelSpec | DetectorSizes,
  dtype: str,
  augmentation: objectives.Augmentation,
) -> _StepModel:
  one = jnp.zeros((1, 1), jnp.int32)
  if isinstance(spec, DetectorSizes):
    detectors = WordDetectors(
      spec.num_words, spec.hidden_size, spec.dropout, spec.hidden_layers, spec.members
    )
    return _StepModel(
      "word_detectors_step",
      objectives.word_detectors_objective(
        detectors, augmentation=augmentation, dtype=dtype
      ),
      objectives.WORD_DETECTOR_TERMS,
      lambda key: detectors.init(key, jnp.zeros((1, spec.feature_size))),
    )
  # The special tokens come last.
  pad_id = spec.vocab_size - len(SPECIAL_TOKENS) + SPECIAL_TOKENS.index("<pad>")
  if isinstance(spec, LanguageModelSpec):
    language_model = make_language_model(**dataclasses.asdict(spec), pad_id=pad_id)
    return _StepModel(
      "language_model_step",
      objectives.language_model_objective(language_model, pad_id=pad_id, dtype=dtype),
      objectives.LANGUAGE_MODEL_TERMS,
      lambda key: language_model.init(key, one),
    )
  captioner = Captioner(**dataclasses.asdict(spec))
  return _StepModel(
    "captioner_step",
    objectives.captioner_objective(
      captioner, pad_id=pad_id, augmentation=augmentation, dtype=dtype
    ),
    objectives.CAPTIONER_TERMS,
    lambda key: captioner.init(key, jnp.zeros((1, 1, spec.feature_size)), one),
  )


def _shapes(tree: Any) -> Any:
  """Returns the shapes and dtypes of a tree of arrays or shapes."""
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _placed(tree: Any, sharding: jax.sharding.Sharding) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
  )


def _rows(mesh: Mesh, shape: tuple[int, ...], dtype: Any) -> Any:
  sharding = NamedSharding(mesh, PartitionSpec(AXIS))
  return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
