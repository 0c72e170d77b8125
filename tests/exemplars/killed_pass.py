"""A job to be killed: a pass of a cheap model that goes on from what lies on disk.

Arguments: the working folder, and how many calls of Python functions it survives; 0 is
not killed, and says how many there were.
"""

import os
import pathlib
import signal
import sys

import numpy as np

from milan_jax._src.exemplars.accumulation import CollectHooks, CollectOptions, collect
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.records import LayerShape
from milan_jax._src.store.exemplar_snapshots import load_progress, save_progress
from milan_jax._src.store.exemplar_store import write_exemplars

JOB = {"model": "cheap"}
NUM_IMAGES, BATCH_SIZE = 240, 2


class Cheap:
  """The pixels themselves, and their rows' means."""

  image_size, num_devices = 16, 1

  def layers(self):
    return (LayerShape("pixels", 16, 16, 3), LayerShape("rows", 1, 16, 3))

  def activations(self, inputs, layers):
    pixels = inputs.astype(np.float32)
    return {"pixels": pixels, "rows": pixels.mean(axis=1, keepdims=True)}


class Calls:
  """Counts the calls of Python functions in this thread, and dies of the last one."""

  def __init__(self, most: int):
    self.most, self.number = most, 0

  def __call__(self, frame, event, argument) -> None:
    del frame, argument
    if event == "call":
      self.number += 1
      if self.number == self.most:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
  folder, calls = pathlib.Path(sys.argv[1]), Calls(int(sys.argv[2]))
  sys.setprofile(calls)
  work(folder)
  sys.setprofile(None)
  print(calls.number)


def work(folder: pathlib.Path) -> None:
  folder.mkdir(exist_ok=True)
  if (folder / "store").exists():
    return
  snapshot = folder / "progress.npz"
  images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 16, 16, 3), np.uint8)
  source = ArrayImages(images)
  found = collect(
    Cheap(),
    source,
    ("pixels", "rows"),
    CollectOptions(k=5, batch_size=BATCH_SIZE),
    resume=load_progress(snapshot, JOB),
    hooks=CollectHooks(lambda progress: save_progress(snapshot, progress, JOB), 0.0),
  )
  write_exemplars(folder / "store", found.layers, source, info=JOB)
  snapshot.unlink(missing_ok=True)


if __name__ == "__main__":
  main()
