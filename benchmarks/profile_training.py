"""What a training step spends its time on, part by part, beside a large product.

  taskset -c 1 python benchmarks/profile_training.py
  taskset -c 1 python benchmarks/profile_training.py --dtypes bfloat16 --lengths 16

Traces steps of the compiled program of `bench_training.py`, adds up the time of each of
its instructions, and groups them by what they compute: by the name of the operation
that the compiler kept, and by the sizes of its result. `share` is of the traced time.
`of product` is the speed of a part's matrix products, in its whole time, relative to
the speed of one large product, which is measured in the same run. On a CPU, run it on
one core: instructions of several threads overlap.
"""

import argparse
import collections
import json
import math
import os
import pathlib
import re
import sys
import tempfile
import time
from typing import Any, NamedTuple

import jax

sys.path.insert(0, os.fspath(pathlib.Path(__file__).parent))
import bench_training as bench

STEPS = 4
# Instructions that only run others.
RUNNERS = ("while", "call", "conditional", "tuple", "parameter", "get-tuple-element")
_INSTRUCTION = re.compile(
  r"^\s*(?:ROOT )?%(?P<name>[\w.-]+) = (?P<shape>\(.*?\)|\S+) (?P<kind>[\w-]+)\("
  r"(?P<operands>[^)]*)\)(?P<rest>.*)$"
)


class Instruction(NamedTuple):
  """An instruction of a compiled program."""

  kind: str
  sizes: tuple[int, ...]
  path: str
  flops: float


def sizes_of(shape: str) -> tuple[int, ...]:
  """Returns the sizes of the (first) array of a shape such as f32[64,512]{1,0}."""
  found = re.search(r"\[([\d,]*)\]", shape)
  return tuple(int(size) for size in found[1].split(",") if size) if found else ()


def instructions(text: str) -> dict[str, Instruction]:
  """Reads the instructions of a compiled program, by name."""
  found: dict[str, Instruction] = {}
  within: dict[str, float] = collections.defaultdict(float)
  shapes: dict[str, tuple[int, ...]] = {}
  calls: dict[str, str] = {}
  computation = ""
  for line in text.splitlines():
    if line.startswith(("%", "ENTRY")):
      computation = re.findall(r"%([\w.-]+)", line)[0]
    match = _INSTRUCTION.match(line)
    if match is None:
      continue
    name, rest = match["name"], match["rest"]
    shapes[name] = sizes = sizes_of(match["shape"])
    flops = 0.0
    if match["kind"] == "dot":
      left = shapes[re.findall(r"%([\w.-]+)", match["operands"])[0]]
      axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest)
      contracted = [left[int(axis)] for axis in axes[1].split(",")] if axes else []
      flops = 2.0 * math.prod(sizes) * math.prod(contracted)
      within[computation] += flops
    called = re.search(r"calls=%([\w.-]+)", rest)
    if called:
      calls[name] = called[1]
    path = re.search(r'op_name="([^"]*)"', rest)
    found[name] = Instruction(match["kind"], sizes, path[1] if path else "", flops)
  return {
    name: each._replace(flops=each.flops or within.get(calls.get(name, ""), 0.0))
    for name, each in found.items()
  }


def part_of(each: Instruction) -> str:
  """Returns which part of a step an instruction belongs to."""
  is_product = each.flops > 1e6
  in_loop, back = "while/body" in each.path, "transpose" in each.path
  if bench.VOCAB in each.sizes and ("jvp" in each.path or not each.path):
    return "output layer, products" if is_product else "output layer, softmax and loss"
  if in_loop:
    way = "back" if back else "forward"
    return f"recurrence {way}, {'products' if is_product else 'the rest'}"
  if is_product:
    return "products over all steps"
  if each.path.startswith("jit(take)/") and "jvp" not in each.path:
    return "AdamW"
  return "copies, zeros and the rest"


class Part(NamedTuple):
  """Seconds and operations of a part in an epoch."""

  seconds: float
  flops: float


def profile(ours: Any, index: int) -> dict[str, Part]:
  """Traces steps of one program; returns seconds and operations of a step's parts."""
  program = ours.programs[index]
  known = instructions(program.as_text())
  ours.timed[index]()
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      for _ in range(STEPS):
        ours.timed[index]()
    (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
    data = jax.profiler.ProfileData.from_file(os.fspath(path))
  parts: dict[str, Part] = collections.defaultdict(lambda: Part(0, 0))
  for plane in data.planes:
    for trace in plane.lines:
      for event in trace.events:
        each = known.get(event.name)
        if each is None or each.kind in RUNNERS:
          continue
        name, before = part_of(each), parts[part_of(each)]
        parts[name] = Part(
          before.seconds + event.duration_ns / 1e9 / STEPS,
          before.flops + each.flops / STEPS,
        )
  return parts


def measure(name: str, batch: int, dtype: str, length: str) -> dict[str, Any]:
  """Returns the parts of an epoch's mean step."""
  samples = bench.make_samples(length, 11712, batch)
  ours = bench.Ours(name, samples, batch, dtype)
  total: dict[str, Part] = collections.defaultdict(lambda: Part(0, 0))
  wall = 0.0
  for index, count in enumerate(ours.counts):
    began = time.perf_counter()
    ours.timed[index]()
    wall += count * (time.perf_counter() - began) / sum(ours.counts)
    for part, found in profile(ours, index).items():
      weight = count / sum(ours.counts)
      before = total[part]
      total[part] = Part(
        before.seconds + weight * found.seconds, before.flops + weight * found.flops
      )
  speed = bench.product_speed(dtype)
  traced = sum(part.seconds for part in total.values())
  ordered = sorted(total.items(), key=lambda item: -item[1].seconds)
  return {
    "model": name,
    "batch": batch,
    "dtype": dtype,
    "lengths": length,
    "step_s": wall,
    "traced_s": traced,
    "product_flops_per_s": speed,
    "parts": [
      {
        "part": part,
        "seconds": found.seconds,
        "share": found.seconds / traced,
        "flops": found.flops,
        "of_product": found.flops / found.seconds / speed,
      }
      for part, found in ordered
    ],
  }


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--models", nargs="+", default=list(bench.SIZES))
  parser.add_argument("--dtypes", nargs="+", default=["float32"])
  parser.add_argument("--lengths", default="real", help="real, or a number")
  parser.add_argument("--json", help="file for the results")
  options = parser.parse_args()
  results = []
  for name in options.models:
    for dtype in options.dtypes:
      row = measure(name, bench.SIZES[name], dtype, options.lengths)
      results.append(row)
      print(
        f"\n{name}, batch {row['batch']}, {dtype}, lengths {row['lengths']}: "
        f"{1e3 * row['step_s']:.0f} ms a step, {1e3 * row['traced_s']:.0f} ms traced, "
        f"a large product {row['product_flops_per_s'] / 1e9:.0f} GFLOP/s\n\n"
        "| part | ms | share | GFLOP | of product |\n|---|---|---|---|---|"
      )
      for part in row["parts"]:
        has_products = part["flops"] > 0
        cells = [f"{part['flops'] / 1e9:.1f}", f"{part['of_product']:.0%}"]
        print(
          f"| {part['part']} | {1e3 * part['seconds']:.1f} | {part['share']:.0%} | "
          f"{' | '.join(cells if has_products else ['', ''])} |",
          flush=True,
        )
  if options.json:
    pathlib.Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
  main()
