"""Measures the exemplar pass: images a second, the share of each part, peak memory.

```
python benchmarks/bench_exemplars.py FOLDER --json exemplars.json --plot exemplars.png
python benchmarks/bench_exemplars.py FOLDER --network efficientnet-lite0
python benchmarks/bench_exemplars.py FOLDER --network wide7 --num_images 1000,10000
```

Each contender runs in a process of its own, one after the other, over the photographs
of FOLDER, repeated until there are `--num_images`: the torch, ONNX and Flax probes of
one network, with five layers and with one, and with torch the plain way (one layer at a
time, two passes each: `plain_exemplars.py`). `--plain_images` gives it fewer, which is
sooner done and a little unfair to it: making masks takes the same time for any number.
Time runs from the first image to the written store; compiling comes before it.
Resnet18's weights are random, efficientnet-lite0's real; `wide7` and `wide14` are cheap
layers of 2,048 units, for their memory: of 7 x 7 places behind a ReLU, as a ResNet-50's
last, and of 14 x 14 without one.

Decoding and statistics go on beside the model. `decoding` is the time spent waiting for
images; `statistics_share` the larger of the time spent waiting for statistics and of
their share of the processor time, with the writing of snapshots and of the store.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import warnings

import jax
import numpy as np

from milan_jax._src.exemplars.accumulation import CollectHooks, CollectOptions, collect
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.preprocessing import TORCHVISION, Preprocessing
from milan_jax._src.lab.benchmark.machine import describe_machine
from milan_jax._src.models.backbones import backbone, params_from_state_dict
from milan_jax._src.store.exemplar_snapshots import save_progress
from milan_jax._src.store.exemplar_store import write_exemplars
from milan_jax._src.weights.packaged_weights import packaged_weights
from milan_jax._src.weights.state_dicts import read_state_dict

ROOT = pathlib.Path(__file__).resolve().parents[1]
WIDE = ("wide7", "wide14")
NETWORKS = ("resnet18", "efficientnet-lite0", *WIDE)
PROBES = ("torch", "onnx", "flax")
PLAIN = "plain"
RESNET_LAYERS = ("conv1", "layer1", "layer2", "layer3", "layer4")


class Repeated:
  """A folder's photographs over and over, until there are enough."""

  decodes_files = True

  def __init__(self, source: FolderImages, number: int):
    self._source, self._number = source, number
    self.size, self.blank = source.size, source.blank

  def __len__(self) -> int:
    return self._number

  def name(self, index: int) -> str:
    """The photograph's path in the folder."""
    return self._source.name(index % len(self._source))

  def load(self, index: int) -> np.ndarray:
    """The photograph."""
    return self._source.load(index % len(self._source))


def layers_of(network: str) -> tuple[str, ...]:
  if network in WIDE:
    # Behind the ReLU, as a ResNet's; and before it, which takes more memory.
    return ("2",) if network == "wide7" else ("1",)
  if network == "resnet18":
    return RESNET_LAYERS
  return backbone(network).default_layers


def preprocessing_of(network: str) -> Preprocessing:
  return TORCHVISION if network in WIDE else backbone(network).preprocessing


def torch_network(network: str):
  import torch

  sys.path.insert(0, str(ROOT))
  from tests.models import torch_networks

  if network in WIDE:
    torch.manual_seed(0)
    side = int(network.removeprefix("wide"))
    module = torch.nn.Sequential(
      torch.nn.Conv2d(3, 64, 224 // side, stride=224 // side),
      torch.nn.Conv2d(64, 2048, 1),
      torch.nn.ReLU(),
    )
    return module.eval()
  module = torch_networks.network(network)
  if network == "resnet18":
    return torch_networks.randomise(module)
  weights = read_state_dict(packaged_weights(network))
  module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
  return module


def torch_names(network: str, layers: tuple[str, ...]) -> dict[str, str]:
  """What the torch module calls our layers."""
  names = {}
  for layer in layers:
    name = layer
    if network == "efficientnet-lite0":
      first, *rest = layer.split(".")
      name = ".".join(["_" + first, *("_" + r if not r.isdigit() else r for r in rest)])
    names[layer] = name
  return names


def onnx_file(network: str, layers: tuple[str, ...], path: str) -> None:
  """Exports a network; a layer's tensor has the layer's name."""
  import torch

  module, names = torch_network(network), torch_names(network, layers)

  class Named(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.module = module

    def forward(self, images):
      kept = {}
      handles = [
        module.get_submodule(name).register_forward_hook(
          lambda part, inputs, output, layer=layer: kept.__setitem__(layer, output)
        )
        for layer, name in names.items()
      ]
      module(images)
      for handle in handles:
        handle.remove()
      return tuple(kept[layer] for layer in layers)

  side = preprocessing_of(network).crop
  images = torch.zeros((2, 3, side, side))
  with warnings.catch_warnings():
    # The exporter deprecates parts of torch that it uses itself.
    warnings.simplefilter("ignore", FutureWarning)
    torch.onnx.export(
      Named().eval(),
      (images,),
      path,
      dynamo=True,
      verbose=False,
      output_names=list(layers),
      dynamic_shapes=({0: torch.export.Dim("batch")},),
    )


def open_probe(kind: str, network: str, layers: tuple[str, ...], folder: str):
  """A probe, and what it calls the layers."""
  prepared = preprocessing_of(network)
  if kind == "torch":
    from milan_jax._src.probe.torch_module import TorchProbe
    from milan_jax._src.probe.torch_weights import torch_device

    names = torch_names(network, layers)
    probe = TorchProbe(
      torch_network(network),
      prepared.crop,
      mean=prepared.mean,
      std=prepared.std,
      # As a command, where JAX uses the GPU too.
      device="cpu" if jax.default_backend() == "cpu" else torch_device(),
    )
    return probe, tuple(names[layer] for layer in layers)
  if kind == "onnx":
    from milan_jax._src.probe.onnx_file import OnnxProbe

    path = f"{folder}/network.onnx"
    onnx_file(network, layers, path)
    return OnnxProbe(path, mean=prepared.mean, std=prepared.std), layers
  from milan_jax._src.probe.flax_backbone import FlaxProbe

  if network == "resnet18":
    params = backbone(network).init(jax.random.key(0))
  else:
    state = read_state_dict(packaged_weights(network))
    params = params_from_state_dict(network, state)
  return FlaxProbe(backbone(network), params), layers


def run_plain(options: argparse.Namespace, source: Repeated) -> dict:
  from plain_exemplars import plain_exemplars

  prepared = preprocessing_of(options.network)
  names = torch_names(options.network, tuple(options.layers))
  module = torch_network(options.network)
  import torch

  with torch.no_grad():
    module(torch.zeros(options.batch_size, 3, prepared.crop, prepared.crop))
  began = time.perf_counter()
  passes = plain_exemplars(
    module,
    source,
    tuple(names.values()),
    mean=prepared.mean,
    std=prepared.std,
    k=options.k,
    quantile=0.99,
    batch_size=options.batch_size,
  )
  return {"seconds": time.perf_counter() - began, "forward_passes": passes}


def run_ours(options: argparse.Namespace, source: Repeated, folder: str) -> dict:
  probe, names = open_probe(
    options.contender, options.network, tuple(options.layers), folder
  )
  side = probe.image_size
  probe.activations(np.zeros((options.batch_size, side, side, 3), np.uint8), names)
  cpu = time.process_time()
  began = time.perf_counter()
  found = collect(
    probe,
    source,
    names,
    CollectOptions(
      k=options.k,
      batch_size=options.batch_size,
      workers=options.workers,
      tail=options.tail,
      distribution=bool(options.distribution),
    ),
    hooks=CollectHooks(
      save=lambda progress: save_progress(f"{folder}/snapshot.npz", progress, {}),
      save_every=options.save_every,
    ),
  )
  passed = time.perf_counter()
  write_exemplars(f"{folder}/store", found.layers, source)
  seconds = time.perf_counter() - began
  cpu = time.process_time() - cpu
  times = found.times
  writing = times.writing + time.perf_counter() - passed
  forward = times.forward_passes * options.batch_size / len(source)
  stored = sum(path.stat().st_size for path in pathlib.Path(folder, "store").rglob("*"))
  return {
    "seconds": seconds,
    "forward_passes": round(forward),
    "units": sum(len(layer.thresholds) for layer in found.layers.values()),
    "model_share": times.model / seconds,
    "decoding_share": times.decoding / seconds,
    "waiting_for_statistics_share": times.statistics / seconds,
    "statistics_cpu_share": times.statistics_cpu / cpu,
    "writing_share": writing / seconds,
    "statistics_share": max(times.statistics / seconds, times.statistics_cpu / cpu)
    + writing / seconds,
    "store_mb": stored / 1e6,
  }


def run_contender(options: argparse.Namespace) -> None:
  """One contender, in this process; its figures are the last line it prints."""
  prepared = preprocessing_of(options.network)
  geometry = Geometry(prepared.resize, prepared.crop, prepared.interpolation)
  source = Repeated(FolderImages(options.folder, geometry), int(options.num_images))
  with tempfile.TemporaryDirectory() as folder:
    if options.contender == PLAIN:
      figures = run_plain(options, source)
    else:
      figures = run_ours(options, source, folder)
  usage = resource.getrusage(resource.RUSAGE_SELF)
  figures["peak_memory_mb"] = usage.ru_maxrss * 1024 / 1e6
  figures["images_per_s"] = len(source) / figures["seconds"]
  print(json.dumps(figures))


def measure(options: argparse.Namespace) -> list[dict]:
  """Runs the contenders one after the other."""
  whole, rows = layers_of(options.network), []
  jobs = [
    (probe, layers, number)
    for probe in options.probes.split(",")
    for layers in ((whole, whole[:1]) if len(whole) > 1 else (whole,))
    for number in map(int, options.num_images.split(","))
  ]
  if options.plain_images:
    jobs.append((PLAIN, whole, options.plain_images))
  for contender, layers, number in jobs:
    command = [sys.executable, __file__, options.folder, f"--contender={contender}"]
    kept = ("network", "batch_size", "workers", "k", "save_every", "tail")
    for name in (*kept, "distribution"):
      command.append(f"--{name}={getattr(options, name)}")
    command += [f"--num_images={number}", "--layers", *layers]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
      print(f"{contender} failed; the others go on", file=sys.stderr)
      continue
    figures = json.loads(finished.stdout.splitlines()[-1])
    about = {"contender": contender, "layers": len(layers), "images": number}
    rows.append(about | figures)
    print(format_row(rows[-1]), flush=True)
  return rows


COLUMNS = {
  "contender": "{}",
  "layers": "{}",
  "images": "{}",
  "images_per_s": "{:.1f}",
  "forward_passes": "{}",
  "model_share": "{:.1%}",
  "decoding_share": "{:.1%}",
  "statistics_share": "{:.1%}",
  "writing_share": "{:.1%}",
  "peak_memory_mb": "{:.0f}",
}


def format_row(row: dict | None) -> str:
  cells = []
  for name, form in COLUMNS.items():
    if row is None:
      cells.append(name)
    else:
      cells.append(form.format(row[name]) if name in row else "-")
  widths = [max(len(name), 8) for name in COLUMNS]
  return "  ".join(
    f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)
  )


def summary(rows: list[dict]) -> dict:
  """The first contender's figures, and how they compare with the plain way's."""
  first = rows[0]
  plain = [row for row in rows if row["contender"] == PLAIN]
  ratio = first["images_per_s"] / plain[0]["images_per_s"] if plain else None
  names = ("images_per_s", "statistics_share", "forward_passes", "peak_memory_mb")
  return {name: first[name] for name in names} | {"ratio_to_plain": ratio}


def draw(rows: list[dict], path: pathlib.Path) -> None:
  from matplotlib.figure import Figure

  figure = Figure(figsize=(8, 0.5 * len(rows) + 1.5), layout="constrained")
  axes = figure.add_subplot()
  labels = [
    f"{row['contender']}, {row['layers']} layer{'s' if row['layers'] > 1 else ''}"
    for row in rows
  ]
  speeds = [row["images_per_s"] for row in rows]
  colors = ["#b5b5b5" if row["contender"] == PLAIN else "#1f5fa8" for row in rows]
  bars = axes.barh(labels[::-1], speeds[::-1], color=colors[::-1])
  axes.bar_label(bars, fmt="%.1f", padding=3)
  axes.set_xlabel("images per second")
  axes.spines[["top", "right"]].set_visible(False)
  axes.margins(x=0.12)
  figure.savefig(path, dpi=150)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("folder", help="folder of photographs")
  parser.add_argument("--network", choices=NETWORKS, default="resnet18")
  parser.add_argument("--probes", default="", help=f"of {','.join(PROBES)}")
  parser.add_argument("--num_images", default="1000", help="one number or several")
  parser.add_argument(
    "--plain_images", type=int, default=1000, help="of the plain way; 0: without it"
  )
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument("--workers", type=int, default=0, help="that decode; 0: threads")
  parser.add_argument("--k", type=int, default=15)
  parser.add_argument("--tail", default="upper", help="as of milan-describe")
  parser.add_argument(
    "--distribution", type=int, default=1, help="0: without histograms and samples"
  )
  parser.add_argument("--save_every", type=float, default=30.0)
  parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
  parser.add_argument("--plot", type=pathlib.Path, help="PNG file for a plot")
  parser.add_argument("--contender", help=argparse.SUPPRESS)
  parser.add_argument("--layers", nargs="*", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.contender:
    run_contender(options)
    return
  if options.network in WIDE:
    options.probes, options.plain_images = options.probes or "torch", 0
  options.probes = options.probes or ",".join(PROBES)
  unknown = set(options.probes.split(",")) - set(PROBES)
  if unknown or not pathlib.Path(options.folder).is_dir():
    parser.error(f"no probes {unknown}" if unknown else f"no folder {options.folder}")
  print(format_row(None))
  rows = measure(options)
  if not rows:
    sys.exit("no contender could be measured")
  result = {"network": options.network, "machine": describe_machine(), "rows": rows}
  result |= summary(rows)
  ratio = result["ratio_to_plain"]
  if ratio:
    print(f"{rows[0]['contender']}: {ratio:.1f} x the plain way")
  if options.json:
    options.json.write_text(json.dumps(result, indent=2) + "\n")
  if options.plot:
    draw(rows, options.plot)


if __name__ == "__main__":
  main()
