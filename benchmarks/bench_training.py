"""Captions per second of training, at the paper's sizes, beside plain torch.

  python benchmarks/bench_training.py --json training.json
  python benchmarks/bench_training.py --lengths real 16 32 --models language_model
  python benchmarks/bench_training.py --batches 64 1024 8192 --dtypes float32 bfloat16 \
      --plain_steps 0
  python benchmarks/bench_training.py --compare earlier.json --plot scaling.png

A step is what `train.py` takes: loss, gradients and AdamW, with dropout, on random
features and words. With `--lengths real` captions are as long as the 11,712 human
annotations of one network of MILANNOTATIONS (their distribution is in this file). The
speed is that of a whole epoch: each program's step is timed, and counts as often as an
epoch takes it. milan-jax groups captions of similar lengths, as by default. Plain torch
(`plain_torch_training.py`) pads the captions of a random batch to its longest, and
takes `--plain_steps` batches from the shortest to the longest. With a number, all
captions are padded to that length on both sides, and about six words long.

Both sides take their steps by turns, in rounds. Of each step the median wall time
counts, and for the ratio, the least processor time, which depends less on other
programs; on an accelerator, both sides' wall time. On a CPU, run it on one core
(`taskset -c 0`), since torch gets one thread. `product_share` is the speed of the
step's matrix products, as if they took the whole time, relative to one large product's,
which is measured in the same run. `--plot` draws the rows, and those of `--compare`,
over the batch: on a CPU captions per second of processor time.
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.runs.memory import share_device_memory
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.training import (
  batches,
  losses,
  objectives,
  state,
  step,
  throughput,
)

VOCAB, FEATURES, REGIONS = 5000, 3904, 15
START, STOP, PAD = VOCAB - 4, VOCAB - 3, VOCAB - 2
SIZES = {"captioner": 64, "language_model": 128}
# How many annotations have 1, 2, ... tokens.
NUM_WITH_LENGTH = (
  *(904, 1778, 2064, 2192, 1675, 840, 651, 337, 236, 151, 112, 90, 79, 60, 40, 78),
  *(51, 39, 38, 33, 33, 37, 23, 17, 32, 29, 13, 15, 12, 11, 8, 7, 5, 4, 3, 0, 1, 2),
  *(0, 3, 3, 1, 1, 0, 0, 1, 0, 1, 0, 1),
)
LONGEST = 81  # the one caption beyond these


def make_samples(length: str, number: int, batch: int) -> batches.Samples:
  """Returns captions of random words, one per unit."""
  rng = np.random.default_rng(0)
  if length == "real":
    lengths = np.repeat(np.arange(1, 1 + len(NUM_WITH_LENGTH)), NUM_WITH_LENGTH)
    lengths = rng.permutation(np.append(lengths, LONGEST))[:number]
  else:
    # A program for one length; at least one caption has it.
    lengths = np.minimum(rng.geometric(1 / 6, size=batch), int(length) - 1)
    lengths[0] = int(length) - 1
  tokens = np.full((len(lengths), lengths.max() + 2), PAD, np.int32)
  for row, words in zip(tokens, lengths, strict=True):
    row[0], row[words + 1] = START, STOP
    row[1 : words + 1] = rng.integers(0, START, size=words)
  return batches.Samples(tokens, np.arange(len(tokens)))


class Timed:
  """Times of calls, of which the first one compiles."""

  def __init__(self, call: Callable[[], Any]):
    self._call = call
    self.wall: list[float] = []
    self.processor: list[float] = []

  def __call__(self) -> None:
    """Calls once."""
    began = time.perf_counter(), time.process_time()
    self._call()
    self.wall.append(time.perf_counter() - began[0])
    self.processor.append(time.process_time() - began[1])

  @property
  def seconds(self) -> float:
    """The median wall time."""
    return statistics.median(self.wall[1:])

  @property
  def comparable(self) -> float:
    """The time that ratios are of."""
    on_cpu = jax.default_backend() == "cpu"
    return min(self.processor[1:]) if on_cpu else self.seconds


class Ours:
  """milan-jax's step, of each program that an epoch runs."""

  def __init__(self, name: str, samples: batches.Samples, batch: int, dtype: str):
    length = samples.tokens.shape[1] - 1
    is_real = len(samples.rows) > batch
    # As `milan-train` with its default order.
    self.lengths = batches.choose_lengths(samples, pad_id=PAD) if is_real else (length,)
    orders = [
      batches.grouped(
        samples, batch_size=batch, pad_id=PAD, lengths=self.lengths, seed=0, epoch=epoch
      )
      for epoch in range(4)
    ]
    rng = np.random.default_rng(1)
    features = rng.random((batch, REGIONS, FEATURES), np.float32)
    gather = None if name == "language_model" else lambda rows: features[: len(rows)]
    mesh = make_mesh()
    counts: collections.Counter[Any] = collections.Counter()
    found = {}
    shape: dict[str, Any] = {
      "batch_size": batch,
      "pad_id": PAD,
      "lengths": self.lengths,
      "num_devices": mesh.size,
    }
    positions = batches.choose_positions(orders, **shape)
    for each in batches.batches(orders[0], positions=positions, **shape):
      program = each.inputs.shape[1], np.shape(each.positions)
      counts[program] += 1
      found.setdefault(
        program, each._replace(features=None if not gather else features)
      )
    rounded = -(-batch // mesh.size) * mesh.size
    if gather and rounded > batch:
      raise SystemExit(f"--batches {batch}: not a multiple of {mesh.size} devices")
    self.counts = [counts[program] for program in found]
    self._batches = [step.shard(each, mesh) for each in found.values()]
    tokens = jnp.zeros((1, 1), jnp.int32)
    model: Captioner | LanguageModel
    inputs: tuple[Any, ...]
    if name == "captioner":
      model = Captioner(VOCAB, FEATURES)
      objective = objectives.captioner_objective(model, pad_id=PAD, dtype=dtype)
      terms, inputs = objectives.CAPTIONER_TERMS, (features[:1], tokens)
    else:
      model = LanguageModel(VOCAB, pad_id=PAD)
      objective = objectives.language_model_objective(model, pad_id=PAD, dtype=dtype)
      terms, inputs = objectives.LANGUAGE_MODEL_TERMS, (tokens,)
    params = jax.jit(model.init)(jax.random.key(0), *inputs)["params"]
    optimizer = state.make_optimizer()
    self._state = step.replicate(
      state.start_state(params, optimizer=optimizer, seed=0), mesh
    )
    self._terms = step.replicate(losses.no_terms(terms), mesh)
    take = step.make_step(objective, optimizer)
    self.programs, self.flops, self.compile_s, self.memory = [], [], 0.0, 0.0
    for each in self._batches:
      arguments = (self._state, self._terms, each)
      self.flops.append(
        throughput.product_flops(jax.make_jaxpr(take)(*arguments).jaxpr)
      )
      began = time.perf_counter()
      program = take.lower(*arguments).compile()
      self.compile_s += time.perf_counter() - began
      self.programs.append(program)
      size = program.memory_analysis()
      held = size.argument_size_in_bytes + size.output_size_in_bytes
      held += size.temp_size_in_bytes - size.alias_size_in_bytes
      self.memory = max(self.memory, held / 2**20)
    self.timed = [Timed(lambda i=i: self._take(i)) for i in range(len(self._batches))]

  def _take(self, index: int) -> None:
    program = self.programs[index]
    self._state, self._terms = jax.block_until_ready(
      program(self._state, self._terms, self._batches[index])
    )


class Plain:
  """The step in torch, of some batches of an epoch, from short to long."""

  def __init__(
    self, name: str, samples: batches.Samples, batch: int, dtype: str, number: int
  ):
    import plain_torch_training as plain
    import torch

    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    # By default cuDNN rounds the operands of float32, but torch's products do not.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if name == "captioner":
      model: Any = plain.PlainCaptioner(VOCAB, FEATURES, 512, 128, 0.5)
      features = torch.rand(batch, REGIONS, FEATURES, device=device)
    else:
      model = plain.PlainLanguageModel(VOCAB, 512, 128, 2, 0.5, PAD)
      features = None
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    order = np.random.default_rng(0).permutation(len(samples.rows))
    whole = max(1, len(order) // batch) * batch
    tokens = samples.tokens[order[:whole]].reshape(-1, batch, samples.tokens.shape[1])
    longest = (tokens != PAD).sum(-1).max(-1)
    tokens = tokens[np.argsort(longest, kind="stable")]
    self.mean_length = float(longest.mean() - 1)
    places = (np.arange(number) + 0.5) * len(tokens) / number
    chosen = sorted({int(place) for place in places})
    self.counts = [len(tokens) / len(chosen)] * len(chosen)

    def call(ids: np.ndarray) -> Callable[[], Any]:
      ids = ids[:, : (ids != PAD).sum(-1).max()]
      ids = torch.from_numpy(ids.astype(np.int64)).to(device)
      rounded = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

      def take() -> None:
        with rounded:
          plain.take_step(model, optimizer, ids[:, :-1], ids[:, 1:], features, PAD)

      return take

    self.timed = [Timed(call(tokens[place])) for place in chosen]


def total(side: Ours | Plain, attribute: str) -> float:
  """Returns the time of an epoch."""
  return sum(
    count * getattr(timed, attribute)
    for count, timed in zip(side.counts, side.timed, strict=True)
  )


def product_speed(dtype: str) -> float:
  """Returns operations per second of a large product on one device."""
  size = 2048 if jax.default_backend() == "cpu" else 8192
  operand = jnp.ones((size, size), dtype)

  def multiply(left: jax.Array, right: jax.Array) -> jax.Array:
    precision = "highest" if dtype == "float32" else None
    return jax.lax.dot(
      left, right, precision=precision, preferred_element_type=jnp.float32
    )

  compiled = jax.jit(multiply)
  timed = Timed(lambda: compiled(operand, operand).block_until_ready())
  for _ in range(5):
    timed()
  return 2 * size**3 / timed.comparable


def measure(name: str, batch: int, dtype: str, length: str, options: Any) -> dict:
  samples = make_samples(length, options.captions, batch)
  ours = Ours(name, samples, batch, dtype)
  sides: list[Ours | Plain] = [ours]
  if options.plain_steps:
    number = options.plain_steps if length == "real" else 1
    sides.append(Plain(name, samples, batch, dtype, number))
  for _ in range(options.rounds + 1):
    for side in sides:
      for timed in side.timed:
        timed()
  captions = batch * sum(ours.counts)
  flops = sum(c * f for c, f in zip(ours.counts, ours.flops, strict=True))
  rate = flops / total(ours, "comparable") / jax.device_count()
  row = {
    "model": name,
    "batch": batch,
    "dtype": dtype,
    "devices": jax.device_count(),
    "lengths": length if length == "real" else int(length),
    "captions_per_s": captions / total(ours, "seconds"),
    "ratio_to_torch": None,
    "compile_s": ours.compile_s,
    "peak_memory_mb": ours.memory,
    "programs": len(ours.counts),
    "padded_to": ours.lengths,
    "captions_per_core_second": captions / total(ours, "comparable"),
    "flops_per_s": rate,
    "product_share": rate / product_speed(dtype),
    "device": jax.devices()[0].device_kind,
    "jax": jax.__version__,
  }
  if len(sides) > 1:
    plain = sides[1]
    per_caption = total(plain, "comparable") / (batch * sum(plain.counts))
    row["ratio_to_torch"] = row["captions_per_core_second"] * per_caption
    row["plain_captions_per_s"] = batch * sum(plain.counts) / total(plain, "seconds")
    row["plain_mean_length"] = plain.mean_length
  return row


COLUMNS = {
  "model": "model",
  "batch": "batch",
  "dtype": "dtype",
  "devices": "devices",
  "lengths": "lengths",
  "captions/s": "captions_per_s",
  "ratio to torch": "ratio_to_torch",
  "product share": "product_share",
  "compile s": "compile_s",
  "memory MiB": "peak_memory_mb",
}
KEY = ("model", "batch", "dtype", "devices", "lengths")


def line(row: dict, earlier: list[dict]) -> str:
  cells = []
  for column in COLUMNS.values():
    value = row[column]
    if isinstance(value, float):
      value = f"{value:.2f}" if value < 10 else f"{value:.0f}"
    cells.append("" if value is None else str(value))
  if earlier:
    before = [e for e in earlier if all(e.get(key) == row[key] for key in KEY)]
    cells.append(
      f"{row['captions_per_s'] / before[-1]['captions_per_s']:.2f}" if before else ""
    )
  return f"| {' | '.join(cells)} |"


def draw(rows: list[dict], path: pathlib.Path) -> None:
  """Draws the speed of each model over the batch, a line for each set of options."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(8, 3.5), layout="constrained")
  names = [name for name in SIZES if any(row["model"] == name for row in rows)]
  for axes, name in zip(
    figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
  ):
    lines = collections.defaultdict(list)
    for row in rows:
      if row["model"] == name:
        lines[row["devices"], row["dtype"], row["lengths"]].append(row)
    for (devices, dtype, length), found in sorted(lines.items(), key=str):
      found = sorted(found, key=lambda row: row["batch"])
      device = "device" if devices == 1 else "devices"
      axes.plot(
        [row["batch"] for row in found],
        [row["captions_per_core_second"] for row in found],
        marker="o",
        label=f"{devices} {device}, {dtype}, lengths {length}",
      )
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("captions per batch")
    axes.set_title(name.replace("_", " "), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
  on_cpu = any(row["device"] == "cpu" for row in rows)
  figure.supylabel(
    "captions per core-second" if on_cpu else "captions per second", fontsize=10
  )
  figure.savefig(path, dpi=120)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
  parser.add_argument("--batches", type=int, nargs="+", help="default: 64 and 128")
  parser.add_argument("--dtypes", nargs="+", default=["float32"])
  parser.add_argument("--lengths", nargs="+", default=["real"], help="real, or numbers")
  parser.add_argument("--captions", type=int, default=11712, help="of an epoch")
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--plain_steps", type=int, default=6, help="0: without torch")
  parser.add_argument("--json", help="file for the rows")
  parser.add_argument("--compare", help="rows of an earlier run")
  parser.add_argument("--plot", help="file for a plot (needs matplotlib)")
  options = parser.parse_args()
  share_device_memory()  # torch uses the GPU, too
  sys.path.insert(0, os.fspath(pathlib.Path(__file__).parent))
  earlier = (
    json.loads(pathlib.Path(options.compare).read_text()) if options.compare else []
  )
  headers = [*COLUMNS, *(["to earlier"] if earlier else [])]
  print(f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}")
  rows = []
  for name in options.models:
    for batch in options.batches or [SIZES[name]]:
      for dtype in options.dtypes:
        for length in options.lengths:
          rows.append(measure(name, batch, dtype, length, options))
          print(line(rows[-1], earlier), flush=True)
          if options.json:
            pathlib.Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
  if options.plot:
    draw([*earlier, *rows], pathlib.Path(options.plot))


if __name__ == "__main__":
  main()
