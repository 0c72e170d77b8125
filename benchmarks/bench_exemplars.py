"""Measures the exemplar pass: images a second, the share of each part, peak memory.

```
python benchmarks/bench_exemplars.py FOLDER --json
```

over the photographs of FOLDER, with five layers of efficientnet-lite0. `decoding` is
the time spent waiting for images: they are decoded beside everything else.
"""

import argparse
import dataclasses
import json
import pathlib
import resource
import tempfile
import time

import numpy as np

from milan_jax.exemplars.collect import collect
from milan_jax.images.folder import FolderImages
from milan_jax.images.geometry import Geometry
from milan_jax.models.backbones import backbone, params_from_state_dict
from milan_jax.probe.flax_backbone import FlaxProbe
from milan_jax.probe.selection import select_layers
from milan_jax.store.exemplar_store import write_exemplars
from milan_jax.store.packaged_weights import packaged_weights
from milan_jax.store.torch_files import read_state_dict


def peak_mib() -> float:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", help="folder of photographs")
  parser.add_argument("--model", default="efficientnet-lite0")
  parser.add_argument("--layers", default="", help="names or globs; default: its own")
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument("--threads", type=int, default=2)
  parser.add_argument("--json", action="store_true", help="print JSON")
  arguments = parser.parse_args()

  network = backbone(arguments.model)
  params = params_from_state_dict(
    arguments.model, read_state_dict(packaged_weights(arguments.model))
  )
  wanted = network.preprocessing
  geometry = Geometry(wanted.resize, wanted.crop, wanted.interpolation)
  source = FolderImages(arguments.folder, geometry)
  probe = FlaxProbe(network, params)
  names = [shape.name for shape in probe.layers()]
  layers = network.default_layers
  if arguments.layers:
    layers = select_layers(names, arguments.layers)
  # Compile first: a pass over a real data set does it once.
  blank = np.zeros((arguments.batch_size, wanted.crop, wanted.crop, 3), np.uint8)
  probe.activations(blank, tuple(layers))
  before = peak_mib()
  began = time.perf_counter()
  found = collect(
    probe,
    source,
    layers,
    batch_size=arguments.batch_size,
    threads=arguments.threads,
  )
  total = time.perf_counter() - began
  with tempfile.TemporaryDirectory() as folder:
    began = time.perf_counter()
    store = pathlib.Path(folder) / "store"
    write_exemplars(store, found.layers, source, threads=arguments.threads)
    writing = time.perf_counter() - began
    stored = sum(path.stat().st_size for path in store.rglob("*.npy"))
  parts = dataclasses.asdict(found.times)
  figures = {
    "images": len(source),
    "layers": {name: found.layers[name].maps.shape[0] for name in layers},
    "images_per_second": len(source) / total,
    "seconds": total,
    "share": {name: seconds / total for name, seconds in parts.items()},
    "store_seconds": writing,
    "store_mib": stored / 2**20,
    "peak_mib_before_the_pass": before,
    "peak_mib": peak_mib(),
  }
  if arguments.json:
    print(json.dumps(figures, indent=2))
    return
  for name, value in figures.items():
    print(
      f"{name:>26}  {value:.2f}" if isinstance(value, float) else f"{name:>26}  {value}"
    )


if __name__ == "__main__":
  main()
