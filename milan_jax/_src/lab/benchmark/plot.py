"""Plots the rows: units per second, by strategy and batch."""

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import atomic_path
from milan_jax._src.lab.benchmark.measurements import Row

# Grays for torch; for milan-jax, colors that also differ in lightness.
_COLORS = {
  "textbook": "#b5b5b5",
  "hoisted": "#7d7d7d",
  "float32": "#1f5fa8",
  "tensorfloat32": "#3f9d8f",
  "bfloat16": "#e0902c",
}


def check_plot(path: str) -> None:
  """Checks before the measurements that a plot can be written.

  Args:
    path: the file to write; empty for no plot.

  Raises:
    UserError: if matplotlib is not installed, or the name does not end in .png.
  """
  if path and not path.endswith(".png"):
    raise UserError(f"--plot: expected a name that ends in .png; found {path}.")
  if path and importlib.util.find_spec("matplotlib") is None:
    raise UserError("--plot needs matplotlib: pip install 'milan-jax[bench]'.")


def draw(rows: Sequence[Row], path: pathlib.Path) -> None:
  """Draws a panel per strategy, a group per configuration, a bar per contender."""
  from matplotlib.figure import Figure
  from matplotlib.ticker import LogLocator, NullLocator

  strategies = list(dict.fromkeys(row["strategy"] for row in rows))
  widths = [_groups(rows, strategy) for strategy in strategies]
  figure = Figure(
    figsize=(2 + sum(1.2 + 1.7 * len(groups) for groups in widths), 4.2),
    layout="constrained",
  )
  axes = figure.subplots(
    1,
    len(strategies),
    squeeze=False,
    width_ratios=[len(groups) for groups in widths],
  )[0]
  shown: dict[str, Any] = {}
  for axis, strategy, groups in zip(axes, strategies, widths, strict=True):
    for place, bars in enumerate(groups.values()):
      width = 0.84 / len(bars)
      for i, (name, value) in enumerate(bars.items()):
        x = place + (i - (len(bars) - 1) / 2) * width
        color = _COLORS[name.split()[0]]
        bar = axis.bar(x, value, width * 0.92, color=color)
        axis.bar_label(bar, fmt=_number(value), fontsize=7, padding=2)
        shown.setdefault(name.split()[0], bar)
    axis.set_xticks(range(len(groups)), list(groups), fontsize=8)
    axis.set_title(strategy, fontsize=10)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.margins(y=0.12)
    axis.spines[["top", "right"]].set_visible(False)
  axes[0].set_ylabel("units per second (log scale)")
  names = {"textbook": "torch, textbook", "hoisted": "torch, keys hoisted"}
  figure.legend(
    list(shown.values()),
    [names.get(name, f"ours, {name}") for name in shown],
    loc="outside lower center",
    ncols=len(shown),
    frameon=False,
    fontsize=8,
  )
  first = rows[0]
  figure.suptitle(
    f"Decoding on {first['machine_processor']}, {first['machine_cores']} core"
    + ("s" if first["machine_cores"] > 1 else ""),
    fontsize=11,
  )
  with atomic_path(path) as staging:
    figure.savefig(staging, dpi=150)


def _number(value: float) -> str:
  return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _groups(rows: Sequence[Row], strategy: str) -> dict[str, dict[str, float]]:
  """Returns the units per second of each contender, by configuration."""
  mine = [row for row in rows if row["strategy"] == strategy]
  differ = [
    name
    for name in ("batch", "beam", "length", "vocab")
    if name == "batch" or len({row[name] for row in mine}) > 1
  ]
  groups: dict[str, dict[str, float]] = {}
  for row in mine:
    label = "\n".join(f"{name} {row[name]}" for name in differ)
    bars = groups.setdefault(label, {})
    for name in ("textbook", "hoisted"):
      if f"{name}_units_per_s" in row:
        bars[name] = row[f"{name}_units_per_s"]
    devices = f" on {row['devices']}" if row["devices"] > 1 else ""
    bars[row["dtype"] + devices] = row["units_per_s"]
  return groups
