"""The files of an experiment's results: JSON, CSV, a table and a plot."""

import csv
import importlib.util
import io
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milan_jax._src.files.atomic import atomic_path, write_json, write_text
from milan_jax._src.runs.progress import say

if TYPE_CHECKING:
  from matplotlib.figure import Figure


def write_results(
  folder: pathlib.Path,
  results: object,
  *,
  rows: str,
  table: str,
  draw: Callable[["Figure"], None],
) -> None:
  """Writes `results.json` and `.csv`, `table.md` and, with matplotlib, `plot.png`.

  Args:
    folder: the folder of the experiment.
    results: all of them, for the JSON.
    rows: the CSV.
    table: the table, in Markdown.
    draw: draws the results into an empty figure and sets its size.
  """
  write_json(folder / "results.json", results)
  write_text(folder / "results.csv", rows)
  write_text(folder / "table.md", table)
  if importlib.util.find_spec("matplotlib") is None:
    say(f"Wrote results.json, results.csv and table.md to {folder}")
    say("no plot: it needs matplotlib (pip install 'milan-jax[bench]')")
    return
  from matplotlib.figure import Figure

  figure = Figure(layout="constrained")
  draw(figure)
  with atomic_path(folder / "plot.png") as staging:
    figure.savefig(staging, dpi=150)
  say(f"Wrote results.json, results.csv, table.md and plot.png to {folder}")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
  """Formats rows as CSV below a line of column names; other keys are left out."""
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def add_legend(figure: "Figure", lines: Mapping[str, Any], columns: int) -> None:
  """Adds a legend below the plots.

  Args:
    figure: the figure.
    lines: what is drawn, by its label.
    columns: labels in a row.
  """
  figure.legend(
    list(lines.values()),
    list(lines),
    loc="outside lower center",
    ncols=columns,
    frameon=False,
    fontsize=8,
  )
