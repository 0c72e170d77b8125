"""Recorded outputs of the original, from `tests/data`; see the README there."""

import json
import pathlib

import numpy as np
from PIL import Image

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
CHECKPOINT = DATA / "decoder-tiny.pth"
LAYERS = ("conv1", "layer1", "layer2", "layer3")


def arrays_and_strings(name):
  """Arrays of an archive, and the strings beside them."""
  with np.load(DATA / f"{name}.npz") as archive:
    arrays = dict(archive)
  return arrays, json.loads(bytes(arrays.pop("strings_json")))


def write_exemplars(folder):
  """Lays the recorded exemplars out as the original wrote them.

  `folder` gets a folder per layer and `images.npz`, the images it looked at.
  """
  sheet = np.asarray(Image.open(DATA / "exemplars" / "images.webp"))
  rows = sheet.reshape(10, 64, 20, 64, 3).swapaxes(1, 2)
  images = np.ascontiguousarray(rows.reshape(200, 64, 64, 3).transpose(0, 3, 1, 2))
  np.savez(folder / "images.npz", images=images)
  recorded = exemplar_arrays()
  for layer in LAYERS:
    (folder / layer).mkdir()
    for name in ("ids", "activations"):
      text = (DATA / "exemplars" / f"{layer}-{name}.csv").read_text()
      (folder / layer / f"{name}.csv").write_text(text)
    np.save(folder / layer / "masks.npy", recorded[f"{layer}/masks"])
    ids = np.loadtxt(folder / layer / "ids.csv", delimiter=",", dtype=int)
    halves = images[ids][..., ::2, ::2]
    # The original lost one level in some values: it computed them in floating point.
    lost = np.unpackbits(recorded[f"{layer}/lost"], count=halves.size)
    np.save(folder / layer / "images.npy", halves - lost.reshape(halves.shape))


def exemplar_arrays():
  """Masks, thresholds and weights behind the recorded exemplars."""
  with np.load(DATA / "exemplars" / "recorded.npz") as archive:
    return dict(archive)


def exemplar_weights():
  """Weights of the network whose exemplars were recorded."""
  return {
    name.removeprefix("network/"): array
    for name, array in exemplar_arrays().items()
    if name.startswith("network/")
  }
