"""A captioner with random weights and the output statistics of a trained one.

The cost of decoding depends on the number and length of live hypotheses. Plain random
weights give a flat distribution that rarely stops, so they would measure something
else. Here the output kernels are scaled so that a few tokens have most of the
probability, the word embeddings so that states depend on the words read, and the bias
of the stop token so that the hypotheses of a beam have a given mean length.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from milan_jax._src.decoding.program import begin
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.captioner_rows import fuse_captioner_weights
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.runs.precision import full_float32
from milan_jax._src.search.beam import beam_search
from milan_jax._src.search.forced import counted
from milan_jax._src.search.rows import packing_for
from milan_jax._src.store.release import (
  CaptionerSpec,
  EncoderSpec,
  LanguageModelSpec,
  Release,
)

# Scales of the logits and of the word embeddings, relative to the initialization.
SCALE = 10.0
WORD_SCALE = 10.0
# Target mean length of the hypotheses of these beams, including stop, and tolerance.
BEAM_SIZE, LENGTH = 50, 15
MEAN_LENGTH = 4.7
TOLERANCE = 0.1
PROBES = 8
REGIONS = 15
FEATURE_SIZE = 3904  # of ResNet-101's five levels
_LEVELS = ("conv1", "layer1", "layer2", "layer3", "layer4")


def random_features(units: int, size: int, seed: int) -> Float[np.ndarray, "units k f"]:
  """Draws features like those after a ReLU, with similar regions within a unit."""
  rng = np.random.default_rng(seed)
  own = rng.standard_normal((units, REGIONS, size), np.float32)
  shared = rng.standard_normal((units, 1, size), np.float32)
  features: np.ndarray = np.maximum(own + shared, 0)
  return features


def abstract_release(*, vocab_size: int, hidden_size: int) -> Release:
  """Returns the captioner of `peaked_release` with shapes in place of weights.

  Args:
    vocab_size: number of tokens, including the four special ones.
    hidden_size: size of both models' states.
  """
  specs = _specs(vocab_size, hidden_size)
  return _release(specs, jax.eval_shape(functools.partial(_drawn, specs, seed=0)))


def peaked_release(*, vocab_size: int, hidden_size: int, seed: int = 0) -> Release:
  """Makes a captioner and a language model of random peaked weights.

  Args:
    vocab_size: number of tokens, including the four special ones.
    hidden_size: size of both models' states.
    seed: seeds the weights.
  """
  specs = _specs(vocab_size, hidden_size)
  params = jax.tree.map(np.array, _drawn(specs, seed))
  # The language model may stay flat: its cost does not depend on its predictions.
  params["captioner"]["output"]["kernel"] *= SCALE
  params["captioner"]["lstm"]["input_kernel"][: specs[0].embedding_size] *= WORD_SCALE
  release = _release(specs, params)
  stop_id = vocab_size - 3
  bias = params["captioner"]["output"]["bias"]
  bias[stop_id] = _stop_bias(params["captioner"], stop_id)
  return release


def _specs(
  vocab_size: int, hidden_size: int
) -> tuple[CaptionerSpec, LanguageModelSpec]:
  return (
    CaptionerSpec(FEATURE_SIZE, hidden_size, 128, hidden_size, vocab_size, dropout=0.5),
    LanguageModelSpec(hidden_size, 128, 2, vocab_size, dropout=0.5),
  )


def _drawn(specs: tuple[CaptionerSpec, LanguageModelSpec], seed: int) -> dict[str, Any]:
  """Draws both models' parameters."""
  captioner, language_model = specs
  tokens = jnp.zeros((1, 1), int)
  features = jnp.zeros((1, 1, FEATURE_SIZE))
  keys = jax.random.split(jax.random.key(seed))
  models = {
    "captioner": Captioner(**dataclasses.asdict(captioner)).init(
      keys[0], features, tokens
    ),
    "language_model": make_language_model(**dataclasses.asdict(language_model)).init(
      keys[1], tokens
    ),
  }
  return {name: tree["params"] for name, tree in models.items()}


def _release(
  specs: tuple[CaptionerSpec, LanguageModelSpec], params: dict[str, Any]
) -> Release:
  captioner, language_model = specs
  return Release(
    encoder=EncoderSpec("resnet101", _LEVELS, (0.0,) * 3, (1.0,) * 3, "none"),
    captioner=captioner,
    language_model=language_model,
    vocabulary=tuple(f"word{i}" for i in range(captioner.vocab_size - 4)),
    decoding=Decoding("rerank", LENGTH, BEAM_SIZE, 0.2),
    params=params,
    card={"about": "random peaked weights, to measure decoding with"},
  )


@full_float32
def _stop_bias(params: Any, stop_id: int) -> float:
  """Finds by bisection the bias at which the mean length is `MEAN_LENGTH`."""
  weights = fuse_captioner_weights(params)
  features = jnp.asarray(random_features(PROBES, FEATURE_SIZE, seed=0))
  valid = jnp.ones(PROBES, bool)
  packing = packing_for(jax.devices()[0].platform)

  @jax.jit
  def mean_length(bias: float) -> jax.Array:
    biased = weights._replace(output_bias=weights.output_bias.at[stop_id].set(bias))
    beams = beam_search(
      begin(biased, features, valid, packing=packing),
      valid=valid,
      beam_size=BEAM_SIZE,
      length=LENGTH,
      start_id=stop_id - 1,
      stop_id=stop_id,
      packing=packing,
    ).beams
    return counted(beams.tokens, stop_id=stop_id).sum(-1).mean()

  low, high = 0.0, 4 * SCALE
  while high - low > 0.01:
    middle = (low + high) / 2
    found = float(mean_length(middle))
    if abs(found - MEAN_LENGTH) < TOLERANCE:
      break
    low, high = (middle, high) if found > MEAN_LENGTH else (low, middle)
  return middle
