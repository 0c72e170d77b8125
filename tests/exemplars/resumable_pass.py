"""A job to be killed: a pass over 40 images that goes on from what lies on disk.

Arguments: the working folder; with a second one, it says after each batch that it was
seen, and waits for a line.
"""

import json
import pathlib
import sys

from milan_jax._src.exemplars.accumulation import CollectHooks, CollectOptions, collect
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.store.exemplar_snapshots import load_progress, save_progress
from milan_jax._src.store.exemplar_store import write_exemplars
from tests.exemplars import tiny

JOB = {"model": "tiny", "k": 4}


def ask(*_) -> None:
  print("seen", flush=True)
  sys.stdin.readline()


def main() -> None:
  folder, asks = pathlib.Path(sys.argv[1]), len(sys.argv) > 2
  folder.mkdir(exist_ok=True)
  snapshot = folder / "progress.npz"
  resume = load_progress(snapshot, JOB)
  (folder / "resumed.json").write_text(json.dumps(resume.done if resume else 0))
  source = ArrayImages(tiny.images())
  found = collect(
    tiny.probe(32),
    source,
    tiny.LAYERS,
    CollectOptions(k=4, batch_size=4),
    resume=resume,
    hooks=CollectHooks(
      save=lambda progress: save_progress(snapshot, progress, JOB),
      save_every=0.0,
      report=ask if asks else None,
    ),
  )
  write_exemplars(folder / "store", found.layers, source, info=JOB)


if __name__ == "__main__":
  main()
