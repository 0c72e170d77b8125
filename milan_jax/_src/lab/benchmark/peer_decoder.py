"""A peer: CTranslate2, with a transformer of the captioner's arithmetic per row.

CTranslate2 decodes transformers only, so it cannot run the captioner. Its decoder here
needs as many operations per hypothesis and token as the captioner's step without shared
terms, and attends to as many positions as a unit has regions. The weights are random.
All `beam_size` hypotheses of a unit have to finish, as in the paper's search; finished
ones leave the beam. The bias of the stop token is set so that these hypotheses are as
long as those of the peaked captioner.

A language model does not rerank, so for the strategy rerank CTranslate2 does less work.

References:
  OpenNMT, CTranslate2.
"""

import pathlib
import tempfile
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.lab.benchmark.peaked import (
  LENGTH,
  MEAN_LENGTH,
  PROBES,
  REGIONS,
  TOLERANCE,
)
from milan_jax._src.store.release import Release

NUM_LAYERS, NUM_HEADS = 3, 8
# Small, because a unit's regions are computed once.
ENCODER_INNER = 8
# Standard deviation of the logits, so that a few tokens have most of the probability.
LOGIT_STD = 4.0
# Standard deviation of biases.
SMALL = 0.01
START, STOP, PAD, UNKNOWN = "<start>", "<stop>", "<pad>", "<unk>"


def multiplications_per_row(release: Release) -> int:
  """Returns the multiplications of the captioner's step for one row."""
  spec = release.captioner
  hidden, features = spec.hidden_size, spec.feature_size
  attention = spec.attention_size or hidden
  state = hidden * (attention + features + 4 * hidden)
  return state + features * 4 * hidden + hidden * spec.vocab_size


def inner_size(release: Release) -> int:
  """Returns the size of the feed-forward layers that makes the arithmetic equal."""
  hidden = release.captioner.hidden_size
  attentions = 6 * hidden**2  # four products of its own, two over the regions
  layers = multiplications_per_row(release) - hidden * release.captioner.vocab_size
  return max(8, round((layers / NUM_LAYERS - attentions) / (2 * hidden)))


class PeerDecoder:
  """Decodes units by CTranslate2.

  Args:
    release: the captioner whose sizes and vocabulary size are used.
    strategy: greedy, beam or rerank.
    beam_size: hypotheses per unit.
    length: maximum number of tokens per description, including stop.
    cores: number of threads.
    device: cpu or cuda.
    precision: float32 or bfloat16.
  """

  def __init__(
    self,
    release: Release,
    *,
    strategy: str,
    beam_size: int,
    length: int,
    cores: int,
    device: str = "cpu",
    precision: str = "float32",
  ):
    self._length = length
    self._beam_size = 1 if strategy == "greedy" else beam_size
    size = release.captioner.vocab_size
    # Its ids of the last special tokens are those of milan-jax.
    self._stop_id = size - 3
    self._tokens = [f"w{i}" for i in range(size - 4)] + [START, STOP, PAD, UNKNOWN]
    self._device = {
      "device": device,
      "intra_threads": cores,
      "inter_threads": 1,
      "compute_type": "bfloat16" if precision == "bfloat16" else "float32",
    }
    with tempfile.TemporaryDirectory() as name:
      folder = pathlib.Path(name)
      spec = self._make(release)
      self._translator = self._calibrated(spec, folder, beam_size)

  def __call__(self, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens and scores of each unit's description."""
    found = self._decode(self._translator, units, self._beam_size)
    tokens = np.full((units, self._length), self._stop_id, np.int32)
    ids = {token: i for i, token in enumerate(self._tokens)}
    for row, result in zip(tokens, found, strict=True):
      words = result.hypotheses[0]
      row[: len(words)] = [ids[word] for word in words]
    return tokens, np.array([result.scores[0] for result in found], np.float32)

  def _decode(self, translator: Any, units: int, beam_size: int) -> Any:
    rng = np.random.default_rng(0)
    sources = rng.integers(0, len(self._tokens) - 4, size=(units, REGIONS))
    return translator.translate_batch(
      [[self._tokens[i] for i in source] for source in sources],
      beam_size=beam_size,
      # With fewer, CTranslate2 stops when the best ones have finished.
      num_hypotheses=beam_size,
      length_penalty=0,  # sums of log-probabilities, as in the paper
      max_decoding_length=self._length,
      return_scores=True,
    )

  def _make(self, release: Release) -> Any:
    """Returns the specification of the model, with random weights."""
    from ctranslate2.specs.transformer_spec import TransformerSpec

    hidden, inner = release.captioner.hidden_size, inner_size(release)
    rng = np.random.default_rng(0)

    def drawn(*shape: int, std: float | None = None) -> Float[np.ndarray, "..."]:
      scale = shape[-1] ** -0.5 if std is None else std
      return rng.standard_normal(shape, np.float32) * np.float32(scale)

    def fill_linear(layer: Any, outputs: int, inputs: int) -> None:
      # Not zeros: CTranslate2 stores equal parameters once, whatever their types.
      layer.weight, layer.bias = drawn(outputs, inputs), drawn(outputs, std=SMALL)

    def fill_norm(layer: Any) -> None:
      layer.gamma, layer.beta = 1 + drawn(hidden, std=SMALL), drawn(hidden, std=SMALL)

    def fill_layer(layer: Any, inner: int) -> None:
      fill_norm(layer.self_attention.layer_norm)
      fill_linear(layer.self_attention.linear[0], 3 * hidden, hidden)
      fill_linear(layer.self_attention.linear[1], hidden, hidden)
      if hasattr(layer, "attention"):
        fill_norm(layer.attention.layer_norm)
        fill_linear(layer.attention.linear[0], hidden, hidden)
        fill_linear(layer.attention.linear[1], 2 * hidden, hidden)
        fill_linear(layer.attention.linear[2], hidden, hidden)
      fill_norm(layer.ffn.layer_norm)
      fill_linear(layer.ffn.linear_0, inner, hidden)
      fill_linear(layer.ffn.linear_1, hidden, inner)

    spec = TransformerSpec.from_config((1, NUM_LAYERS), NUM_HEADS)
    size = len(self._tokens)
    spec.encoder.embeddings[0].weight = drawn(size, hidden)
    spec.decoder.embeddings.weight = drawn(size, hidden)
    fill_norm(spec.encoder.layer_norm)
    fill_norm(spec.decoder.layer_norm)
    fill_layer(spec.encoder.layer[0], ENCODER_INNER)
    for layer in spec.decoder.layer:
      fill_layer(layer, inner)
    # The rows of the last norm have a length of sqrt(hidden).
    spec.decoder.projection.weight = drawn(size, hidden, std=LOGIT_STD * hidden**-0.5)
    spec.decoder.projection.bias = drawn(size, std=SMALL)
    spec.register_source_vocabulary(self._tokens)
    spec.register_target_vocabulary(self._tokens)
    spec.config.bos_token = spec.config.decoder_start_token = START
    spec.config.eos_token, spec.config.unk_token = STOP, UNKNOWN
    return spec

  def _calibrated(self, spec: Any, folder: pathlib.Path, beam_size: int) -> Any:
    """Loads the model with the bias of stop that gives the mean length."""
    import ctranslate2

    weight = np.array(spec.decoder.projection.weight)
    bias = np.array(spec.decoder.projection.bias)
    low, high = -4 * LOGIT_STD, 8 * LOGIT_STD
    while True:
      bias[self._stop_id] = (low + high) / 2
      spec.decoder.projection.weight = weight
      spec.decoder.projection.bias = bias.copy()
      spec.validate()
      spec.optimize()
      spec.save(str(folder))
      translator = ctranslate2.Translator(str(folder), **self._device)
      lengths = self._lengths(translator, beam_size)
      found = float(lengths.mean())
      if abs(found - MEAN_LENGTH) < TOLERANCE or high - low < 0.05:
        return translator
      low, high = (
        (float(bias[self._stop_id]), high)
        if found > MEAN_LENGTH
        else (low, float(bias[self._stop_id]))
      )

  def _lengths(self, translator: Any, beam_size: int) -> Int[np.ndarray, "hypotheses"]:
    """Returns the lengths of hypotheses, with stop, at the benchmark's usual length."""
    length, self._length = self._length, LENGTH
    found = self._decode(translator, PROBES, beam_size)
    self._length = length
    return np.array(
      [min(len(words) + 1, LENGTH) for result in found for words in result.hypotheses]
    )
