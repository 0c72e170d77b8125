"""Reads checkpoints in the official MILAN format, and converts them to releases.

`torch.save` wrote the official file from nested `{properties, children}` dicts, which
hold the constructor arguments of each object, and one flat state dict for all objects.
No code of a checkpoint runs; see `torch_files`.

Source: Hernandez et al. 2022, the released models.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of_file
from milan_jax._src.models import backbones
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store import release as releases
from milan_jax._src.store.official_parameters import (
  StateDict,
  captioner_params,
  language_model_params,
)
from milan_jax._src.store.release import Params, Release
from milan_jax._src.text.vocabulary import SPECIAL_TOKENS
from milan_jax._src.weights import torch_files

ENCODER = "PyramidConvEncoder"
_BACKBONE_PREFIX = "encoder.model."
# The layers that the encoder pools, by milan-jax's names. AlexNet's are after the ReLU:
# the original pools the convolutions before it, but the ReLU is in place.
_RESNET_LEVELS = ("conv1", "layer1", "layer2", "layer3", "layer4")
LEVELS = {
  "alexnet": ("features.1", "features.4", "features.7", "features.9", "features.11"),
  **{f"resnet{depth}": _RESNET_LEVELS for depth in (18, 34, 50, 101, 152)},
}


@dataclasses.dataclass(frozen=True, eq=False)
class OfficialCheckpoint:
  """The contents of an official checkpoint.

  Attributes:
    vocabulary: the ordinary tokens.
    tokenizer: flags of its tokenizer, such as `lowercase`.
    backbone: name of the encoder's network.
    captioner: sizes of the captioner.
    language_model: sizes of the language model; None without a language model.
    decoding: its default decoding options.
    mean: the mean that the encoder subtracts from each channel of an image in [0, 1].
    std: the standard deviation that it divides each channel by.
    backbone_state: state dict of the network, with torchvision's names.
    captioner_state: state dict of the captioner.
    language_model_state: state dict of the language model; empty without one.
  """

  vocabulary: tuple[str, ...]
  tokenizer: dict[str, bool]
  backbone: str
  captioner: releases.CaptionerSpec
  language_model: releases.LanguageModelSpec | None
  decoding: Decoding
  mean: tuple[float, ...]
  std: tuple[float, ...]
  backbone_state: StateDict
  captioner_state: StateDict
  language_model_state: StateDict


def read_official(path: str | os.PathLike[str]) -> OfficialCheckpoint:
  """Reads an official checkpoint without running code from it.

  Raises:
    UserError: if the file is not an official checkpoint, is truncated, or has unknown
      parts.
  """
  value = torch_files.read_torch_file(path)
  try:
    return _official(value)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  except (LookupError, TypeError, AttributeError) as error:
    raise UserError(
      f"{path} is a torch file but not an official MILAN checkpoint "
      f"({type(error).__name__}: {error}): expected nested 'properties' and a flat "
      "'state_dict'"
    ) from error


def to_release(checkpoint: OfficialCheckpoint) -> Release:
  """Converts a checkpoint to a release with the stored dtypes.

  The network's classifier is left out, because the features do not depend on it.
  """
  params: Params = {
    "encoder": _backbone_params(checkpoint.backbone, checkpoint.backbone_state),
    "captioner": captioner_params(checkpoint.captioner_state),
  }
  if checkpoint.language_model is not None:
    num_layers = checkpoint.language_model.num_layers
    params["language_model"] = language_model_params(
      checkpoint.language_model_state, num_layers
    )
  return Release(
    encoder=releases.EncoderSpec(
      checkpoint.backbone, LEVELS[checkpoint.backbone], checkpoint.mean, checkpoint.std
    ),
    captioner=checkpoint.captioner,
    language_model=checkpoint.language_model,
    vocabulary=checkpoint.vocabulary,
    decoding=checkpoint.decoding,
    params=params,
    card={"tokenizer": checkpoint.tokenizer},
  )


def _backbone_params(name: str, state: StateDict) -> Params:
  """Returns the network's parameters; float16 only if all of them are float16."""
  params = backbones.params_from_state_dict(name, state, head=False)
  floats = {array.dtype for array in state.values() if array.dtype.kind == "f"}
  dtype = np.float16 if floats == {np.dtype(np.float16)} else np.float32
  cast: Params = jax.tree.map(lambda array: np.asarray(array, dtype), dict(params))
  return cast


def convert(checkpoint: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> str:
  """Converts an official checkpoint to a release in a new folder.

  A second call only verifies the release. The files of a killed call are overwritten.
  The official files have no public digests, but users can compare the returned one.

  Returns:
    The checkpoint's SHA-256, in hexadecimal; the release's card also records it.

  Raises:
    UserError: as for `read_official`, or if the folder contains anything else.
  """
  checkpoint, out_dir = pathlib.Path(checkpoint), pathlib.Path(out_dir)
  if not checkpoint.is_file():
    raise UserError(
      f"{checkpoint} is not a file: expected an official checkpoint (.pth)"
    )
  if out_dir.exists() and not out_dir.is_dir():
    raise UserError(f"{out_dir} is a file: give a folder to write the release to")
  digest = sha256_of_file(checkpoint)
  source: dict[str, Any] = {
    "name": checkpoint.name,
    "size": checkpoint.stat().st_size,
    "sha256": digest,
  }
  if _holds(out_dir, source):
    return digest
  converted = to_release(read_official(checkpoint))
  card = {**converted.card, "source": source}
  releases.save_release(dataclasses.replace(converted, card=card), out_dir)
  return digest


def _holds(folder: pathlib.Path, source: dict[str, Any]) -> bool:
  """Returns whether a folder holds a source's release; raises for other contents."""
  names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
  if releases.JSON_FILE in names:
    held = releases.load_release(folder).card.get("source")
    if isinstance(held, dict) and held.get("sha256") == source["sha256"]:
      return True
    raise UserError(
      f"{folder} holds a release of another file than {source['name']}: choose another "
      "folder, or remove it"
    )
  unfinished = {releases.TENSORS_FILE}
  foreign = {name for name in names - unfinished if ".partial" not in name}
  if foreign:
    raise UserError(
      f"{folder} is not empty (it holds {sorted(foreign)[0]!r}): choose a new folder"
    )
  return False


# Reads the nested properties.


def _backbone(value: Any) -> str:
  """Checks the parts of the checkpoint and returns its encoder's backbone."""
  children = dict(value.get("children", {}))
  kind = children.pop("encoder", None)
  if kind != ENCODER or children:
    raise UserError(
      f"it has unsupported parts (encoder {kind!r}"
      f"{''.join(f', {name} {part!r}' for name, part in children.items())}): only "
      f"{ENCODER} without CLIP reranking is supported"
    )
  backbone: str = value["properties"]["encoder"]["properties"]["config"]
  if backbone not in LEVELS:
    raise UserError(
      f"its encoder is {backbone!r}, which is not supported: expected one of "
      f"{', '.join(sorted(LEVELS))}"
    )
  return backbone


def _language_model(
  properties: Any, vocabulary: tuple[str, ...]
) -> releases.LanguageModelSpec:
  if _indexer(properties["indexer"]["properties"])[0] != vocabulary:
    raise UserError("the vocabularies of its language model and its captioner differ")
  return releases.LanguageModelSpec(
    hidden_size=properties["hidden_size"],
    embedding_size=properties["embedding_size"],
    num_layers=properties["layers"],
    vocab_size=len(vocabulary) + len(SPECIAL_TOKENS),
    dropout=properties["dropout"],
  )


def _official(value: Any) -> OfficialCheckpoint:
  properties, backbone = value["properties"], _backbone(value)
  vocabulary, tokenizer = _indexer(properties["indexer"]["properties"])
  states = _split(value["state_dict"])
  hidden_size = properties["hidden_size"]
  feature_size = states["captioner"]["init_h.0.weight"].shape[1]
  language_model = None
  if properties.get("lm") is not None:
    language_model = _language_model(properties["lm"]["properties"], vocabulary)
  return OfficialCheckpoint(
    vocabulary=vocabulary,
    tokenizer=tokenizer,
    backbone=backbone,
    captioner=releases.CaptionerSpec(
      feature_size=feature_size,
      hidden_size=hidden_size,
      embedding_size=properties["embedding_size"],
      # The default is the smaller of the state's size and the features' size.
      attention_size=properties["attention_hidden_size"]
      or min(hidden_size, feature_size),
      vocab_size=len(vocabulary) + len(SPECIAL_TOKENS),
      dropout=properties["dropout"],
    ),
    language_model=language_model,
    decoding=Decoding(
      strategy=properties["strategy"],
      length=properties["length"],
      beam_size=properties["beam_size"],
      temperature=properties["temperature"],
    ),
    mean=_channels(states["encoder"].pop("mean")),
    std=_channels(states["encoder"].pop("std")),
    backbone_state={
      name.removeprefix(_BACKBONE_PREFIX): array
      for name, array in states["encoder"].items()
    },
    captioner_state=states["captioner"],
    language_model_state=states["language_model"],
  )


def _indexer(properties: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, bool]]:
  """Reads tokens and tokenizer flags; ids match only with all four special tokens."""
  flags = {name: properties[name] for name in ("start", "stop", "pad", "unk")}
  if not all(flags.values()):
    raise UserError(f"its indexer lacks special tokens: expected all four, got {flags}")
  tokens = tuple(properties["vocab"]["properties"]["tokens"])
  if not all(isinstance(token, str) for token in tokens):
    raise UserError("its vocabulary has an entry that is not a string")
  tokenizer = properties["tokenize"]["properties"]
  kept = {name: flag for name, flag in tokenizer.items() if isinstance(flag, bool)}
  return tokens, kept


def _split(state: StateDict) -> dict[str, StateDict]:
  """Splits the flat state dict by the object that owns each entry."""
  states: dict[str, StateDict] = {"encoder": {}, "language_model": {}, "captioner": {}}
  prefixes = {"encoder.": "encoder", "lm.": "language_model"}
  for name, array in state.items():
    if not isinstance(array, np.ndarray):
      raise UserError(f"entry {name!r} of its state dict is not a tensor")
    prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
    states[prefixes.get(prefix, "captioner")][name.removeprefix(prefix)] = array
  return states


def _channels(array: np.ndarray) -> tuple[float, ...]:
  return tuple(float(value) for value in array.reshape(-1))
