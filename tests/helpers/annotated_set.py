"""A small folder of annotated exemplars, and the options of small models for it."""

import csv

import numpy as np

UNITS, K, SIZE = 6, 2, 32
WORDS = ("red", "green", "blue")
# One layer of the packaged network, and the smallest models.
ENCODER = {"encoder_layers": "act0"}
MODELS = ENCODER | {
  **{"hidden_size": 16, "embedding_size": 8, "lm_hidden_size": 8, "lm_layers": 1},
  **{"lm_embedding_size": 8, "batch_size": 4, "lm_batch_size": 4, "max_epochs": 2},
}


def write_set(folder, seed):
  """A folder in the original's layout, with two layers, captions and a split."""
  rng = np.random.default_rng(seed)
  rows, parts = [], []
  for layer in ("one", "2"):
    (folder / layer).mkdir(parents=True)
    images = rng.integers(0, 256, (UNITS, K, 3, SIZE, SIZE), np.uint8)
    np.save(folder / layer / "images.npy", images)
    masks = rng.integers(0, 2, (UNITS, K, 1, SIZE, SIZE), np.uint8)
    np.save(folder / layer / "masks.npy", masks)
    for unit in range(UNITS - 1):  # the last unit has no caption
      word = WORDS[unit % 3]
      rows += [(layer, unit, f"{word} things"), (layer, unit, f"the {word}, ünd sky")]
      parts.append((layer, unit, ("train", "validation", "test", "train")[unit % 4]))
  for name, header, lines in (
    ("annotations.csv", "summary", rows),
    ("split.csv", "split", parts),
  ):
    with (folder / name).open("w", newline="") as file:
      csv.writer(file).writerows([("layer", "unit", header), *lines])
  return folder
