"""Writes captioners as checkpoints that the original loads."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of_file
from milan_jax._src.models.backbones.state_dict import state_dict_from_params
from milan_jax._src.models.language_models import LSTM
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store.official import ENCODER, LEVELS
from milan_jax._src.store.official_parameters import (
  StateDict,
  captioner_state,
  language_model_state,
)
from milan_jax._src.store.release import INCLUDED, Release
from milan_jax._src.text.tokenizer import serialized_tokenizer
from milan_jax._src.weights.torch_writer import KnownDict, write_torch_file

# The original's options of its tokenizer; ours has these values.
_TOKENIZER = {
  "lemmatize": False,
  "lowercase": True,
  "ignore_stop": False,
  "ignore_punct": False,
}
# The decoding options that the original's checkpoints have.
_KEPT = ("strategy", "length", "beam_size", "temperature")


@dataclasses.dataclass(frozen=True, slots=True)
class WrittenOfficial:
  """An official checkpoint that was written.

  Attributes:
    sha256: the file's digest, in hexadecimal.
    left_out: what the captioner has and the original lacks.
  """

  sha256: str
  left_out: tuple[str, ...]


def save_official(release: Release, path: str | os.PathLike[str]) -> WrittenOfficial:
  """Writes a captioner as an official checkpoint.

  The network's classifier, which releases lack and nothing reads, is zero. The same
  captioner and version of spaCy give the same bytes.

  Args:
    release: the captioner.
    path: the file, `.pth`; an existing one is refused.

  Raises:
    UserError: if the original has no such encoder or language model, the file exists,
      or spaCy is not installed.
  """
  path = pathlib.Path(path)
  if path.exists():
    raise UserError(f"{path} exists: give the name of a new file (.pth).")
  _check_encoder(release)
  _check_language_model(release)
  write_torch_file(path, _value(release))
  return WrittenOfficial(sha256_of_file(path), _left_out(release))


def _check_encoder(release: Release) -> None:
  spec = release.encoder
  levels = LEVELS.get(spec.backbone)
  if levels is None:
    raise UserError(
      f"Its encoder is {spec.backbone}, which the original lacks: expected one of "
      f"{', '.join(sorted(LEVELS))}. Train with --encoder=resnet101, for instance."
    )
  if spec.projection or spec.pooling != "inside" or spec.levels != levels:
    found = (
      f"projection {spec.projection}"
      if spec.projection
      else f"pooling {spec.pooling}"
      if spec.pooling != "inside"
      else f"layers {','.join(spec.levels)}"
    )
    raise UserError(
      f"Its encoder has {found}, but the original pools layers {','.join(levels)} "
      "inside the region and projects nothing: train with --pooling=inside, without "
      "--projection and with these --encoder_layers."
    )
  if spec.weights != INCLUDED:
    raise UserError(
      f"Its encoder's weights are in the package {spec.weights}, but an official "
      "checkpoint includes them: train with --encoder_weights."
    )


def _check_language_model(release: Release) -> None:
  spec = release.language_model
  if spec is not None and spec.architecture != LSTM:
    raise UserError(
      f"Its language model is a {spec.architecture}, but the original's is an LSTM: "
      "train with --lm_architecture=lstm."
    )


def _value(release: Release) -> dict[str, Any]:
  indexer = _indexer(release)
  spec, language_model = release.captioner, release.language_model
  default = min(spec.hidden_size, spec.feature_size)
  properties = {
    "indexer": indexer,
    "encoder": _object(config=release.encoder.backbone, pretrained=False),
    "lm": None
    if language_model is None
    else _object(
      indexer=indexer,
      embedding_size=language_model.embedding_size,
      hidden_size=language_model.hidden_size,
      layers=language_model.num_layers,
      dropout=language_model.dropout,
    ),
    "embedding_size": spec.embedding_size,
    "hidden_size": spec.hidden_size,
    "attention_hidden_size": None
    if spec.attention_size == default
    else spec.attention_size,
    "dropout": spec.dropout,
    **{name: getattr(release.decoding, name) for name in _KEPT},
  }
  return {
    "properties": properties,
    "children": {"encoder": ENCODER},
    "state_dict": _state_dict(release),
  }


def _object(**properties: Any) -> dict[str, Any]:
  return {"properties": properties, "children": {}}


def _indexer(release: Release) -> dict[str, Any]:
  config, state = serialized_tokenizer()
  known = release.card.get("tokenizer")
  flags = _TOKENIZER | {
    name: known[name]
    for name in _TOKENIZER
    if isinstance(known, dict) and isinstance(known.get(name), bool)
  }
  nlp = (KnownDict("thinc.config", "Config", config), state)
  return _object(
    vocab=_object(tokens=tuple(release.vocabulary)),
    tokenize=_object(nlp=nlp, **flags),
    start=True,
    stop=True,
    pad=True,
    unk=True,
    length=None,
  )


def _state_dict(release: Release) -> StateDict:
  channels = (1, 3, 1, 1)
  spec, params = release.encoder, release.params
  state: StateDict = {
    "encoder.mean": np.array(spec.mean, np.float32).reshape(channels),
    "encoder.std": np.array(spec.std, np.float32).reshape(channels),
  }
  network = state_dict_from_params(spec.backbone, params["encoder"])
  state |= {f"encoder.encoder.model.{name}": value for name, value in network.items()}
  if release.language_model is not None:
    own = language_model_state(
      params["language_model"], release.language_model.num_layers
    )
    state |= {f"lm.{name}": value for name, value in own.items()}
  return state | captioner_state(params["captioner"])


def _left_out(release: Release) -> tuple[str, ...]:
  """Names the parts of a captioner that an official checkpoint cannot hold."""
  decoding = release.decoding
  default = Decoding(*(getattr(decoding, name) for name in _KEPT))
  left_out = [
    f"{field.name} {getattr(decoding, field.name)}"
    for field in dataclasses.fields(decoding)
    if getattr(decoding, field.name) != getattr(default, field.name)
  ]
  if release.confidence is not None:
    left_out.append("the confidence of a description")
  if release.word_detectors is not None:
    left_out.append("the word detectors")
  return tuple(left_out)
