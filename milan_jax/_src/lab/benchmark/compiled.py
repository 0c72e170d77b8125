"""Compiles programs without running them, and counts what the compiler made of them."""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark.machine import describe_machine
from milan_jax._src.lab.benchmark.measurements import Row
from milan_jax._src.lab.benchmark.programs import Program
from milan_jax._src.lab.benchmark.table import format_table

# Operations in the text of a compiled program. A GPU's library calls are products too.
_OPERATIONS = {
  "loops": r" while\(",
  "products": r' dot\(| convolution\(|custom_call_target="__cu(?:blas|dnn\$conv)',
  "sorts": r" sort\(",
  "fusions": r" fusion\(",
}
_COLLECTIVES = (
  *("all-reduce", "all-gather", "reduce-scatter"),
  *("all-to-all", "collective-permute"),
)
# Larger collectives carry gradients or rows; smaller ones a few numbers each.
LARGE_BYTES = 10**6
_BYTES = {"f64": 8, "s64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2}
_BYTES |= {"s8": 1, "u8": 1, "pred": 1}
_COLUMNS = (
  ("program", "program", "{}"),
  ("dtype", "dtype", "{}"),
  ("devices", "dev", "{}"),
  ("batch", "batch", "{}"),
  ("batch_per_device", "a device", "{}"),
  ("beam", "beam", "{}"),
  ("length", "length", "{}"),
  ("compile_s", "compile s", "{:.1f}"),
  ("compile_cpu_s", "cpu s", "{:.1f}"),
  ("temp_mb", "temp MB", "{:.0f}"),
  ("hbm_mb", "HBM MB", "{:.0f}"),
  ("loops", "loops", "{}"),
  ("products", "products", "{}"),
  ("sorts", "sorts", "{}"),
  ("fusions", "fusions", "{}"),
  ("collectives", "collectives", "{}"),
  ("large_collectives", "over 1 MB", "{}"),
  ("flops", "FLOP", "{:.1e}"),
  ("bytes", "bytes", "{:.1e}"),
  ("estimated_ms", "estimated ms", "{:.1f}"),
)


def compile_program(
  program: Program,
  target: str,
  *,
  milan: str,
  smaller: str = "--batches or --beams",
) -> Row:
  """Compiles a program.

  Args:
    program: the program.
    target: name of the devices that it is lowered for.
    milan: the captioner's name.
    smaller: the options that need less memory when they are smaller, for the message.

  Returns:
    A row of figures. `compile_s` is elapsed time and `compile_cpu_s` processor time,
    which depends less on other load; memory is that of one device; FLOP and bytes count
    the body of a loop once.

  Raises:
    UserError: it does not compile, for instance because a device's memory is too small.
  """
  with _without_cache():
    began = time.perf_counter()
    lowered = program.lower()
    traced, processor = time.perf_counter(), time.process_time()
    try:
      compiled = lowered.compile()
    except RuntimeError as error:
      reason = " ".join(str(error).split())[:500]
      raise UserError(
        f"{program} does not compile for {target}: {reason}. If memory is too small, "
        f"use smaller {smaller}."
      ) from error
    seconds = time.perf_counter() - traced
    processor = time.process_time() - processor
  memory, costs = compiled.memory_analysis(), compiled.cost_analysis() or {}
  text = compiled.as_text()
  held = memory.argument_size_in_bytes + memory.output_size_in_bytes
  held += memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
  held -= memory.alias_size_in_bytes
  machine = {f"machine_{name}": value for name, value in describe_machine().items()}
  return {
    "status": "compiled, not run",
    "program": program.name,
    "topology": target,
    "devices": program.devices,
    "batch": program.batch,
    "batch_per_device": program.batch // program.devices,
    "dtype": program.dtype,
    "milan": milan,
    "beam": None,
    "length": None,
    "vocab": None,
    **program.sizes,
    "lower_s": traced - began,
    "compile_s": seconds,
    "compile_cpu_s": processor,
    "temp_mb": memory.temp_size_in_bytes / 1e6,
    "arguments_mb": memory.argument_size_in_bytes / 1e6,
    "code_mb": memory.generated_code_size_in_bytes / 1e6,
    "hbm_mb": held / 1e6,
    **count_operations(text),
    "collective_mb": sum(collective_bytes(text)) / 1e6,
    "large_collectives": sum(n > LARGE_BYTES for n in collective_bytes(text)),
    "flops": _known(costs, "flops"),
    "bytes": _known(costs, "bytes accessed"),
    "estimated_ms": _known(costs, "optimal_seconds", 1000.0),
    **machine,
  }


def count_operations(text: str) -> dict[str, Any]:
  """Counts loops, products, sorts, fusions and collectives.

  Args:
    text: a compiled program, as `jax.stages.Compiled.as_text` returns it.

  Returns:
    The counts by name; collectives by kind, without those that do not occur.
  """
  counts: dict[str, Any] = {
    name: len(re.findall(pattern, text)) for name, pattern in _OPERATIONS.items()
  }
  kinds = {
    kind: len(re.findall(rf" {kind}(?:-start)?\(", text)) for kind in _COLLECTIVES
  }
  counts["collectives"] = {kind: number for kind, number in kinds.items() if number}
  return counts


def collective_bytes(text: str) -> list[int]:
  """Returns the bytes of each collective's result.

  Args:
    text: as for `count_operations`.
  """
  text = re.sub(r"/\*.*?\*/", "", text)  # the numbers of a long tuple's parts
  found = []
  for kind in _COLLECTIVES:
    for result in re.findall(rf"= ([^=]*?) {kind}(?:-start)?\(", text):
      total = 0
      # Layouts such as {1,0:T(8,128)} follow the shapes.
      for name, sizes in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", result):
        shape = [int(size) for size in sizes.split(",") if size]
        total += _BYTES.get(name, 4) * math.prod(shape)
      found.append(total)
  return found


def heading(target: str, devices: Sequence[jax.Device]) -> str:
  """Returns the line above the table."""
  return (
    f"Compiled for {target} ({len(devices)} x {devices[0].device_kind}), not run; "
    "memory of one device:"
  )


def table(rows: Sequence[Row]) -> str:
  """Formats the rows as a Markdown table."""
  shown = [row | {"collectives": _listed(row["collectives"]) or None} for row in rows]
  return format_table(shown, _COLUMNS)


def _listed(counts: dict[str, int]) -> str:
  return ", ".join(f"{number} {kind}" for kind, number in counts.items())


def _known(costs: Mapping[str, Any], name: str, scale: float = 1.0) -> float | None:
  """Returns a cost; None if unknown, which XLA also states as a negative number."""
  found = costs.get(name, -1)
  return found * scale if found > 0 else None


@contextmanager
def _without_cache() -> Iterator[None]:
  """Turns off the cache of compiled programs, from which one takes no time."""
  config: Any = jax.config  # only newer releases of JAX annotate its values
  before = config.jax_enable_compilation_cache
  jax.config.update("jax_enable_compilation_cache", False)
  compilation_cache.reset_cache()  # JAX reads the setting only once
  try:
    yield
  finally:
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()
