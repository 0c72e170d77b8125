"""The released format: a folder with `milan.json` and `milan.safetensors`.

The JSON holds the captioner's architecture and decoding options. The tensors are the
Flax parameters, named by their path in the tree (`captioner/attention/key/kernel`).
Loading checks that the tensors match the JSON.
"""

import dataclasses
import functools
import os
import pathlib
import types
import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of_file
from milan_jax._src.files.json_files import check_checksum, read_json, with_checksum
from milan_jax._src.models.backbones import backbone, registry
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.confidence_model import (
  EARLIER_EVIDENCE,
  EVIDENCE,
  JUDGED_EVIDENCE,
  WORD_EVIDENCE,
  ConfidenceSpec,
)
from milan_jax._src.models.encoder import Projection
from milan_jax._src.models.language_models import (
  ARCHITECTURES,
  LSTM,
  TRANSFORMER,
  make_language_model,
)
from milan_jax._src.models.region_features import Pooling, feature_blocks
from milan_jax._src.models.transformer import expected_width, is_width
from milan_jax._src.models.word_detectors import (
  MOST_HIDDEN_LAYERS,
  MOST_MEMBERS,
  WordDetectors,
  WordDetectorSpec,
)
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.text.content_words import content_stems
from milan_jax._src.text.vocabulary import Vocabulary
from milan_jax._src.weights import torch_files

FORMAT = "milan-jax-release"
VERSION = 1
JSON_FILE = "milan.json"
TENSORS_FILE = "milan.safetensors"
INCLUDED = "included"
# Upper limit for the sizes of a model and for decoding options, far above real values.
_LARGEST = 2**24
_REMEDY = "it is cut short or damaged, fetch it again"

# A tree of dicts with arrays as leaves.
Params = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderSpec:
  """The backbone; its activations, pooled over a region, are the region's features.

  Attributes:
    backbone: its name in `milan_jax._src.models.backbones`.
    levels: names of the layers that are pooled, in the order of the features.
    mean: mean that is subtracted from each channel of an image in [0, 1].
    std: standard deviation that each channel is divided by.
    weights: `included`, or the name of the package that contains the weights.
    projection: size that the pooled features are projected to; 0 for no projection.
    pooling: how a region's features are pooled: `inside` the region, like the original,
      or `placed` (see `models.region_features`).
  """

  backbone: str
  levels: tuple[str, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  weights: str = INCLUDED
  projection: int = 0
  pooling: str = "inside"

  def __post_init__(self) -> None:
    known = typing.get_args(Pooling)
    _check(self.pooling in known, "encoder.pooling", f"one of {known}", self.pooling)
    _check(self.projection >= 0, "encoder.projection", "0 or more", self.projection)
    _check(len(self.levels) > 0, "encoder.levels", "at least one layer", self.levels)
    _check(len(self.mean) == 3, "encoder.mean", "three numbers", self.mean)
    _check(len(self.std) == 3, "encoder.std", "three numbers", self.std)
    _check(min(self.std) > 0, "encoder.std", "positive numbers", self.std)


@dataclasses.dataclass(frozen=True, slots=True)
class CaptionerSpec:
  """The sizes of `milan_jax._src.models.captioner.Captioner`."""

  feature_size: int
  hidden_size: int
  embedding_size: int
  attention_size: int
  vocab_size: int
  dropout: float

  def __post_init__(self) -> None:
    _check_sizes(self, "captioner")


@dataclasses.dataclass(frozen=True, slots=True)
class LanguageModelSpec:
  """The sizes of a language model of `milan_jax._src.models.language_models`."""

  hidden_size: int
  embedding_size: int
  num_layers: int
  vocab_size: int
  dropout: float
  architecture: str = LSTM

  def __post_init__(self) -> None:
    _check_sizes(self, "language_model")
    kind = self.architecture
    where = "language_model.architecture"
    _check(kind in ARCHITECTURES, where, f"one of {ARCHITECTURES}", kind)
    if kind == TRANSFORMER:
      width = self.hidden_size
      fits = is_width(width)
      expected = "" if fits else expected_width(width)
      _check(fits, "language_model.hidden_size", expected, width)


_SPECS = {
  "encoder": EncoderSpec,
  "captioner": CaptionerSpec,
  "language_model": LanguageModelSpec,
  "decoding": Decoding,
  "confidence": ConfidenceSpec,
  "word_detectors": WordDetectorSpec,
}
# Optional parts of a release.
_OPTIONAL = ("language_model", "confidence", "word_detectors")
# Fields that are required even if they have a default.
_NEEDED = {"weights", "strategy", "length", "beam_size", "temperature"}
# Fields that are omitted from the JSON at these defaults.
_LEFT_OUT = {
  "word_weight": 0.0,
  "coverage": 0.0,
  "hidden_layers": 1,
  "members": 1,
  "floor": 0.0,
  "lm_stop": True,
  "repeats": True,
  "guarded": False,
  "mi": False,
  "parity": False,
  "precision": "float32",
  "pooling": "inside",
  "architecture": LSTM,
  "evidence": EARLIER_EVIDENCE,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Release:
  """A captioner with everything that is needed to describe units.

  Attributes:
    encoder: the backbone.
    captioner: sizes of the captioner.
    language_model: sizes of the language model; None without one.
    vocabulary: the ordinary tokens.
    decoding: the default decoding options.
    params: Flax parameters under `encoder` (if the weights are included), `projection`
      (`shift` and `kernel`, if the features are projected), `captioner`,
      `language_model` (if there is one) and `word_detectors` (if there are any).
    confidence: the model for the confidence of a description; None if not fitted.
    word_detectors: the words that have detectors, and the size of these; None without
      detectors.
    card: origin and properties for human readers; any JSON.

  Example:
    >>> captioner.release.vocabulary[:2]
    ('red', 'green')
  """

  encoder: EncoderSpec
  captioner: CaptionerSpec
  language_model: LanguageModelSpec | None
  vocabulary: tuple[str, ...]
  decoding: Decoding
  params: Params
  card: dict[str, Any] = dataclasses.field(default_factory=dict)
  confidence: ConfidenceSpec | None = None
  word_detectors: WordDetectorSpec | None = None

  @property
  def projection(self) -> Projection | None:
    """The projection of the pooled features; None without one."""
    found = self.params.get("projection")
    return None if found is None else Projection(found["shift"], found["kernel"])

  @property
  def feature_size(self) -> int:
    """Size of a region's pooled features, before any projection."""
    projection = self.projection
    return self.captioner.feature_size if projection is None else len(projection.shift)

  def __post_init__(self) -> None:
    vocab_size = Vocabulary(self.vocabulary).vocab_size
    for name in ("captioner", "language_model"):
      spec = getattr(self, name)
      if spec is not None:
        expected = f"{vocab_size}, the vocabulary's tokens and the specials"
        fits = spec.vocab_size == vocab_size
        _check(fits, f"{name}.vocab_size", expected, spec.vocab_size)
    if self.confidence is not None:
      _check_confidence(self.confidence)
    _check_words(self)
    _check_params(self)


def save_release(release: Release, folder: str | os.PathLike[str]) -> None:
  """Writes a release: the tensors, with their dtypes, then the JSON.

  A folder without the JSON is not a release, so loading rejects an incomplete one.
  """
  folder = pathlib.Path(folder)
  (folder / JSON_FILE).unlink(missing_ok=True)
  tensors = {
    name: np.ascontiguousarray(array)
    for name, array in sorted(flatten_dict(release.params, sep="/").items())
  }
  with atomic.atomic_path(folder / TENSORS_FILE) as staging:
    safetensors.numpy.save_file(tensors, staging)
    staging.chmod(0o644)  # safetensors creates files that only the owner can read
  specs = {name: getattr(release, name) for name in _SPECS}
  for name in ("confidence", "word_detectors"):
    if specs[name] is None:
      del specs[name]
  value = {
    "format": FORMAT,
    "version": VERSION,
    **{name: spec and _as_json(spec) for name, spec in specs.items()},
    "vocabulary": release.vocabulary,
    "tensors": {"sha256": sha256_of_file(folder / TENSORS_FILE)},
    "card": release.card,
  }
  atomic.write_json(folder / JSON_FILE, with_checksum(value))


def _as_json(spec: Any) -> dict[str, Any]:
  fields = dataclasses.asdict(spec)
  for name, default in _LEFT_OUT.items():
    if fields.get(name) == default:
      del fields[name]
  return fields


def load_release(folder: str | os.PathLike[str]) -> Release:
  """Reads a release; all its tensors become float32.

  Raises:
    UserError: if a file is missing, truncated or changed, the format is unknown or
      newer, or a tensor does not match the specs.
  """
  folder = pathlib.Path(folder)
  path = folder / JSON_FILE
  value = _read_json(path)
  try:
    release = _release(value, folder / TENSORS_FILE)
  except KeyError as error:
    raise UserError(f"{path} lacks {error}: the release is incomplete") from error
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  check_checksum(value, path, remedy=_REMEDY)
  return release


def _release(value: dict[str, Any], path: pathlib.Path) -> Release:
  for name in ("tensors", "card"):
    _check(isinstance(value[name], dict), name, "an object", value[name])
  specs = {
    name: _build(spec, value[name], name)
    for name, spec in _SPECS.items()
    if name not in _OPTIONAL or value.get(name) is not None
  }
  value["language_model"]  # the key is required; its value may be null
  if not path.is_file():
    raise UserError(f"{path.name} is missing in the same folder: copy the whole folder")
  if sha256_of_file(path) != value["tensors"]["sha256"]:
    raise UserError(
      f"{path.name} is damaged or from another release: download it again"
    )
  tensors = torch_files.read_safetensors(path)
  floats = {name: _float32(name, array) for name, array in tensors.items()}
  return Release(
    **{"language_model": None, **specs},
    vocabulary=_convert(value["vocabulary"], tuple[str, ...], "vocabulary"),
    params=unflatten_dict(floats, sep="/"),
    card=value["card"],
  )


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  if not path.is_file():
    raise UserError(
      f"{path} is missing: expected a released captioner, a folder with {JSON_FILE} "
      f"and {TENSORS_FILE} (milan-convert creates one from an official checkpoint)"
    )
  value = read_json(path, object, remedy=_REMEDY, check=False)
  if not isinstance(value, dict) or value.get("format") != FORMAT:
    raise UserError(f"{path} is not a released captioner: its format is not {FORMAT!r}")
  if value.get("version") != VERSION:
    raise UserError(
      f"{path} has format version {value.get('version')!r}, but this program reads "
      f"version {VERSION}: use the version of milan-jax that wrote it"
    )
  return value


# Converts JSON to specs and checks each value.


def _build(spec: type[Any], value: Any, where: str) -> Any:
  hints = typing.get_type_hints(spec)
  needed = {
    field.name
    for field in dataclasses.fields(spec)
    if field.default is dataclasses.MISSING or field.name in _NEEDED
  }
  if not isinstance(value, dict) or not needed <= set(value) <= set(hints):
    raise UserError(f"{where} must have the fields {', '.join(hints)}")
  fields = {
    name: _convert(value[name], hints[name], f"{where}.{name}")
    for name in hints
    if name in value
  }
  try:
    return spec(**fields)
  except UserError as error:
    prefix = "" if str(error).startswith(where) else f"{where}."
    raise UserError(f"{prefix}{error}") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
  if isinstance(hint, types.GenericAlias):  # a tuple of items of one type
    _check(isinstance(value, list), where, "a list", value)
    item = typing.get_args(hint)[0]
    return tuple(_convert(one, item, where) for one in value)
  kinds = (int, float) if hint is float else (hint,)
  fits = isinstance(value, kinds) and isinstance(value, bool) == (hint is bool)
  _check(fits, where, f"of type {hint.__name__}", value)
  return hint(value)


def _check(fits: bool, where: str, expected: str, actual: Any) -> None:
  if not fits:
    raise UserError(f"{where} must be {expected}, not {str(actual)[:80]!r}")


def _check_sizes(spec: Any, where: str) -> None:
  for field in dataclasses.fields(spec):
    value = getattr(spec, field.name)
    name = f"{where}.{field.name}"
    if field.name == "dropout":
      _check(0 <= value < 1, name, "in [0, 1)", value)
    elif field.type in (int, float):
      least = 1 if field.type is int else 0
      fits = least <= value <= _LARGEST
      _check(fits, name, f"positive and at most {_LARGEST}", value)


def _check_confidence(spec: ConfidenceSpec) -> None:
  known = {*EVIDENCE, *EARLIER_EVIDENCE, *JUDGED_EVIDENCE, *WORD_EVIDENCE}
  fits = set(spec.evidence) <= known
  _check(fits, "confidence.evidence", f"some of {sorted(known)}", spec.evidence)
  number = len(spec.evidence)
  for name in ("centers", "scales", "weights"):
    values = getattr(spec, name)
    _check(len(values) == number, f"confidence.{name}", f"{number} numbers", values)
  _check(min(spec.scales) > 0, "confidence.scales", "positive numbers", spec.scales)


def _check_words(release: Release) -> None:
  """Compares the word detectors with the vocabulary and what uses them."""
  if release.word_detectors is None:
    evidence = () if release.confidence is None else release.confidence.evidence
    expected = "without 'words', as there are no word_detectors"
    _check("words" not in evidence, "confidence.evidence", expected, evidence)
    for name in ("word_weight", "coverage"):
      weight = getattr(release.decoding, name)
      expected = "0, as there are no word_detectors"
      _check(weight == 0, f"decoding.{name}", expected, weight)
    return
  _check_sizes(release.word_detectors, "word_detectors")
  for name, most in (("hidden_layers", MOST_HIDDEN_LAYERS), ("members", MOST_MEMBERS)):
    number = getattr(release.word_detectors, name)
    _check(number <= most, f"word_detectors.{name}", f"at most {most}", number)
  words = release.word_detectors.words
  _check(bool(words), "word_detectors.words", "one word or more", words)
  known = {stem for stem in content_stems(release.vocabulary) if stem}
  others = sorted(
    {word for word in words if words.count(word) > 1} | set(words) - known
  )
  _check(not others, "word_detectors.words", "distinct words of the vocabulary", others)


# The tree of parameters.


def _float32(name: str, array: np.ndarray) -> np.ndarray:
  kinds = "of floats of 16 or 32 bits"
  _check(array.dtype in (np.float16, np.float32), name, kinds, array.dtype)
  return array.astype(np.float32, copy=False)


def _check_params(release: Release) -> None:
  """Compares the levels and all parameters with the modules of the specs."""
  network = backbone(release.encoder.backbone)
  crop = network.preprocessing.crop
  levels = network.shapes(release.encoder.levels, crop)
  channels = [shape[-1] for shape in levels.values()]
  size = sum(feature_blocks(channels, typing.cast(Pooling, release.encoder.pooling)))
  projected = release.encoder.projection
  expected = (
    f"{projected}, encoder.projection"
    if projected
    else f"{size}, the channels of encoder.levels"
  )
  actual = release.captioner.feature_size
  _check(actual == (projected or size), "captioner.feature_size", expected, actual)

  parts = {"captioner": _captioner_shapes(release.captioner)}
  if projected:
    parts["projection"] = {"shift": (size,), "kernel": (size, projected)}
  if release.language_model is not None:
    parts["language_model"] = _language_model_shapes(release.language_model)
  if release.word_detectors is not None:
    parts["word_detectors"] = _word_detector_shapes(release)
  if release.encoder.weights == INCLUDED:
    headless = network.module.clone(num_classes=None)
    parts["encoder"] = _shapes(registry.parameter_shapes(headless, crop))
  held = set(release.params)
  _check(held == set(parts), "the parameters", f"of {sorted(parts)}", sorted(held))
  for part, shapes in parts.items():
    found = _shapes(release.params[part])
    for name in sorted(shapes | found):
      shape, other = shapes.get(name, "absent"), found.get(name, "absent")
      _check(shape == other, f"{part}/{name}", f"{shape}", other)
    for name, array in flatten_dict(release.params[part], sep="/").items():
      _check(_is_finite(array), f"{part}/{name}", "finite", "NaN or infinity")


def _is_finite(array: Any) -> bool:
  """Whether all numbers are finite; True of what has none, such as a tracer."""
  is_array = isinstance(array, np.ndarray | jax.Array)
  if not is_array or isinstance(array, jax.core.Tracer):
    return True
  return bool(np.isfinite(np.asarray(array)).all())


@functools.cache
def _captioner_shapes(spec: CaptionerSpec) -> Shapes:
  module = Captioner(**dataclasses.asdict(spec))
  features, tokens = jnp.zeros((1, 1, spec.feature_size)), jnp.zeros((1, 1), int)
  made = jax.eval_shape(module.init, jax.random.key(0), features, tokens)
  return _shapes(made["params"])


@functools.cache
def _language_model_shapes(spec: LanguageModelSpec) -> Shapes:
  module = make_language_model(**dataclasses.asdict(spec))
  made = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 1), int))
  return _shapes(made["params"])


def _word_detector_shapes(release: Release) -> Shapes:
  spec = release.word_detectors
  assert spec is not None
  module = WordDetectors(
    len(spec.words),
    spec.hidden_size,
    hidden_layers=spec.hidden_layers,
    members=spec.members,
  )
  features = jnp.zeros((1, release.captioner.feature_size))
  return _shapes(jax.eval_shape(module.init, jax.random.key(0), features)["params"])


def _shapes(tree: dict[str, Any]) -> Shapes:
  leaves = flatten_dict(tree, sep="/")
  return {name: tuple(leaf.shape) for name, leaf in leaves.items()}
