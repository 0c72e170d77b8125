"""A tiny training run, in this process or in one of its own that gets killed."""

import os
import signal
import sys

import numpy as np

from milan_jax._src.options.train import TrainOptions
from milan_jax._src.records import Unit
from milan_jax._src.store import release
from milan_jax._src.training import train_milan

KINDS = (
  "red things",
  "blue sky and grass",
  "animal faces",
  "the edges of dark objects",
  "dogs' noses, in the water",
)
ENCODER = release.EncoderSpec("resnet18", ("layer1",), (0.0,) * 3, (1.0,) * 3, "none")


def data(num_units=40):
  """Units of five kinds, told apart by their features, three captions each."""
  rng = np.random.default_rng(0)
  kinds = np.arange(num_units) % len(KINDS)
  features = rng.normal(size=(len(KINDS), 1, 64))[kinds]
  features = features + 0.1 * rng.normal(size=(num_units, 3, 64))
  captions = {Unit("4", i): (KINDS[kind],) * 3 for i, kind in enumerate(kinds)}
  return features.astype(np.float32), captions


def train(workdir, *, progress=lambda done, total: None, **options):
  """Trains tiny models on the units of two layers."""
  features, captions = data()
  options = {
    "batch_size": 16,
    "lm_batch_size": 16,
    "hidden_size": 32,
    "embedding_size": 8,
    "lm_hidden_size": 16,
    "lm_embedding_size": 8,
    "learning_rate": 2e-2,
    "dropout": 0.25,
    "max_epochs": 2,
    "stop_by": "bleu",
    "cosine_decay": True,
    "stray_regions": 0.3,
    "word_weight": 2.0,
    "word_hidden_size": 16,
    "checkpoint_every": 2,
  } | options
  found = train_milan.AnnotatedFeatures(
    {"4": features[:30], "other": features[:9], "05": features[30:]},
    {
      name: units(name, number)
      for name, number in {"4": 30, "other": 9, "05": 10}.items()
    },
    {
      unit if unit.index < 30 else Unit("05", unit.index - 30): summaries
      for unit, summaries in captions.items()
    },
  )
  encoder = train_milan.TrainedEncoder(ENCODER)
  chosen = TrainOptions.of(**options)
  return train_milan.train_milan(found, encoder, chosen, workdir, progress=progress)


def units(layer, number):
  return [Unit(layer, index) for index in range(number)]


def kill_at(calls):
  """Returns a progress that ends the process, as kill -9 does, at its n-th call."""
  count = 0

  def progress(done, total):
    nonlocal count
    count += 1
    if count == calls:
      os.kill(os.getpid(), signal.SIGKILL)

  return progress


if __name__ == "__main__":
  train(sys.argv[1], progress=kill_at(int(sys.argv[2])))
