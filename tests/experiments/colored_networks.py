"""Two tiny annotated networks whose units respond to colors."""

import numpy as np

from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import write_annotations
from milan_jax._src.store.region_sets import RegionSetWriter

COLORS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}
UNITS, K, SIZE = 12, 2, 32
TRAINING = {
  "encoder_layers": "act0",
  "hidden_size": 16,
  "embedding_size": 8,
  "lm_hidden_size": 8,
  "lm_embedding_size": 8,
  "lm_layers": 1,
  "batch_size": 8,
  "lm_batch_size": 8,
  "learning_rate": 0.02,
  "max_epochs": 2,
  "dropout": 0.0,
}


def write_network(folder, seed):
  """Writes a network's exemplars with two annotations of each unit."""
  rng = np.random.default_rng(seed)
  names = list(COLORS)
  with RegionSetWriter(folder, "patches", k=K, size=SIZE) as writer:
    for unit in range(UNITS):
      rows, masks = [], np.zeros((K, SIZE, SIZE), bool)
      for slot in range(K):
        image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        masks[slot, 4:24, 8:28] = True
        image[masks[slot]] = COLORS[names[unit % 3]]
        rows.append(writer.image((unit, slot), image))
      writer.add(unit, rows, masks)
  annotations = {
    Unit("patches", unit): (f"{names[unit % 3]} things", f"{names[unit % 3]} areas")
    for unit in range(UNITS)
  }
  write_annotations(folder / "annotations.csv", annotations)
  return folder


def write_networks(folder):
  """Writes two networks; returns the value of `--data`."""
  return ",".join(
    str(write_network(folder / name, seed)) for seed, name in enumerate(("one", "two"))
  )
