"""A job to be killed: a pass over 40 images that goes on from what lies on disk.

Arguments: the working folder, and seconds to wait after each image.
"""

import json
import pathlib
import sys
import time

from milan_jax.exemplars.collect import collect
from milan_jax.images.arrays import ArrayImages
from milan_jax.store.exemplar_snapshots import load_progress, save_progress
from milan_jax.store.exemplar_store import write_exemplars
from tests.exemplars import tiny

JOB = {"model": "tiny", "k": 4}


def main() -> None:
  folder, pause = pathlib.Path(sys.argv[1]), float(sys.argv[2])
  folder.mkdir(exist_ok=True)
  snapshot = folder / "progress.npz"
  resume = load_progress(snapshot, JOB)
  (folder / "resumed.json").write_text(json.dumps(resume.done if resume else 0))
  source = ArrayImages(tiny.images())
  found = collect(
    tiny.probe(32),
    source,
    tiny.LAYERS,
    k=4,
    batch_size=4,
    resume=resume,
    save=lambda progress: save_progress(snapshot, progress, JOB),
    save_every=0.0,
    report=lambda *_: time.sleep(pause),
  )
  write_exemplars(folder / "store", found.layers, source, info=JOB)


if __name__ == "__main__":
  main()
