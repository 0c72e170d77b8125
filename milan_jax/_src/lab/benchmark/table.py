"""Formats benchmark rows as a table, and compares them with an earlier run."""

import json
import pathlib
from collections.abc import Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark.measurements import KEY, Row

_COLUMNS = (
  ("strategy", "strategy", "{}"),
  ("batch", "batch", "{}"),
  ("beam", "beam", "{}"),
  ("length", "length", "{}"),
  ("vocab", "vocab", "{}"),
  ("dtype", "dtype", "{}"),
  ("devices", "dev", "{}"),
  ("units_per_s", "units/s", "{:.1f}"),
  ("tokens_per_s", "tokens/s", "{:.0f}"),
  ("latency_ms", "ms/batch", "{:.0f}"),
  ("ratio_to_textbook", "x textbook", "{:.1f}"),
  ("ratio_to_hoisted", "x hoisted", "{:.1f}"),
  ("ratio_to_compiled", "x compiled", "{:.1f}"),
  ("ratio_to_jax_beam", "x jax_beam", "{:.1f}"),
  ("ratio_to_ctranslate2", "x ctranslate2", "{:.1f}"),
  ("equal_captions", "equal", "{:.1%}"),
  ("largest_score_difference", "diff", "{:.0e}"),
  ("gflop_per_unit", "GFLOP/unit", "{:.2f}"),
  ("gflops", "GFLOP/s", "{:.0f}"),
  ("share_of_peak", "of peak", "{:.0%}"),
  ("moved_mb_per_unit", "MB/unit", "{:.0f}"),
  ("peak_memory_mb", "peak MB", "{:.0f}"),
  ("compile_s", "compile s", "{:.1f}"),
)


def table(rows: Sequence[Row]) -> str:
  """Formats the rows as a Markdown table."""
  return format_table(rows, _COLUMNS)


def format_table(rows: Sequence[Row], columns: Sequence[tuple[str, str, str]]) -> str:
  """Formats rows as a Markdown table.

  Args:
    rows: the rows.
    columns: the field, title and format of each column.
  """
  cells = [[title for _, title, _ in columns]]
  for row in rows:
    cells.append([_cell(row[name], form) for name, _, form in columns])
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    "| " + " | ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) + " |"
    for line in cells
  ]
  rule = "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|"
  return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: object, form: str) -> str:
  return "-" if value is None else form.format(value)


def read_rows(path: pathlib.Path) -> list[Row]:
  """Reads the rows of an earlier run.

  Raises:
    UserError: if the file does not exist, or was not written by milan-bench.
  """
  try:
    rows: list[Row] = json.loads(path.read_text())
    for row in rows:
      row["units_per_s"], *(row[name] for name in KEY)
  except OSError as error:
    raise UserError(f"--compare: {path} cannot be read ({error.strerror}).") from error
  except (ValueError, TypeError, KeyError) as error:
    raise UserError(
      f"--compare: {path} is not a list of rows of milan-bench ({error}); "
      "--json writes one."
    ) from error
  return rows


def compare(rows: Sequence[Row], earlier: Sequence[Row]) -> str:
  """Compares the speed of each configuration with an earlier run."""
  known = {tuple(row[name] for name in KEY): row for row in earlier}
  lines = []
  for row in rows:
    key = tuple(row[name] for name in KEY)
    before = known.get(key)
    name = " ".join(f"{k} {v}" for k, v in zip(KEY[1:], key[1:], strict=True))
    if before is None:
      lines.append(f"{name}: not in the earlier run")
      continue
    ratio = row["units_per_s"] / before["units_per_s"]
    line = (
      f"{name}: {row['units_per_s']:.1f} units/s, {before['units_per_s']:.1f} before: "
      f"{ratio:.2f} x"
    )
    machines = [r.get("machine_processor") for r in (before, row)]
    if machines[0] != machines[1]:
      line += f" (another machine: {machines[0]})"
    lines.append(line)
  return "\n".join(lines)
