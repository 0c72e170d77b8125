"""The results of `milan-sweep`: JSON, CSV, a table and a plot."""

import functools
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from milan_jax._src.experiments.result_files import (
  add_legend,
  csv_text,
  write_results,
)
from milan_jax._src.experiments.trained_trial import TEST, VALIDATION
from milan_jax._src.scores.score_table import CONSTANT, SHOWN, SHUFFLED, Estimate, cell

if TYPE_CHECKING:
  from matplotlib.figure import Figure

Results = Mapping[str, Any]
_COLUMNS = (
  *("encoder", "strategy", "beam_size", "temperature", "part", "score", "value"),
  *("low", "high"),
)


def write(results: Results, folder: pathlib.Path) -> None:
  """Writes all files of the results."""
  write_results(
    folder,
    dict(results),
    rows=as_csv(results),
    table=markdown(results),
    draw=functools.partial(draw, results),
  )


def _rows(results: Results) -> list[dict[str, Any]]:
  """Returns the points, and the baselines as points without values."""
  ways = [dict(row) for row in results["points"]]
  empty = {"beam_size": None, "temperature": None}
  return ways + [
    {"key": way, "encoder": "", "strategy": way, **empty}
    for way in (CONSTANT, SHUFFLED)
  ]


def as_csv(results: Results) -> str:
  """Formats all scores of all settings and both parts, one line each."""
  return csv_text(
    _COLUMNS,
    (
      {**row, "part": part, "score": score, **estimate}
      for row in _rows(results)
      for part, table in results["scores"].items()
      for score, estimate in sorted(table["systems"][row["key"]].items())
    ),
  )


def markdown(results: Results) -> str:
  """Formats a row per setting; the best on the stop part is bold."""
  score = results["chosen_by"]
  name = SHOWN[score][0]
  tables = results["scores"]
  lines = [
    f"| encoder | strategy | beam | temperature | {name}, stop part | {name}, test | "
    "BLEU, test | words | distinct |",
    "|---" * 9 + "|",
  ]
  for row in _rows(results):
    key = row["key"]
    stop, test = (
      Estimate(**tables[part]["systems"][key][score]) for part in (VALIDATION, TEST)
    )
    bleu = Estimate(**tables[TEST]["systems"][key]["bleu"])
    measured = results["specificity"].get(key)
    mark = "**" if key == results["best"] else ""
    beam, weight = row["beam_size"], row["temperature"]
    cells = [
      row["encoder"],
      f"{mark}{row['strategy']}{mark}",
      "" if beam is None else str(beam),
      "" if weight is None else f"{weight:g}",
      f"{mark}{cell(stop, score)}{mark}",
      cell(test, score),
      cell(bleu, "bleu"),
      "" if measured is None else f"{measured['words']:.1f}",
      "" if measured is None else f"{100 * measured['distinct']:.0f} %",
    ]
    lines.append(f"| {' | '.join(cells)} |")
  units = {part: table["units"] for part, table in tables.items()}
  lines += [
    "",
    f"Units: {units[VALIDATION]} of the stop part, {units[TEST]} of the test part. In "
    "brackets: 95 % intervals over units. Bold: the best setting on the stop part.",
  ]
  return "\n".join(lines) + "\n"


_COLORS = ("#1f5fa8", "#e0902c", "#3f9d8f", "#8e5ea2", "#c0392b")


def draw(results: Results, figure: "Figure") -> None:
  """Draws the score on the test part against temperature and against the beam.

  A setting without both is a dotted line across.
  """
  from matplotlib.ticker import MaxNLocator

  score = results["chosen_by"]
  systems = results["scores"][TEST]["systems"]
  figure.set_size_inches(9, 3.8)
  axes = figure.subplots(1, 2, sharey=True)
  shown: dict[str, Any] = {}
  several = len({row["encoder"] for row in results["points"]}) > 1
  # Points that only differ in what the panel shows; the defaults are in both panels.
  for axis, name, other in (
    (axes[0], "temperature", "beam_size"),
    (axes[1], "beam_size", "temperature"),
  ):
    lines: dict[tuple[str, str, Any], list[tuple[float, str]]] = {}
    for row in results["points"]:
      if row[name] is not None:
        place = row["encoder"], row["strategy"], row[other]
        lines.setdefault(place, []).append((row[name], row["key"]))
    for (encoder, strategy, _), found in lines.items():
      if len(found) < 2 and any(
        len(many) > 1 and each[:2] == (encoder, strategy)
        for each, many in lines.items()
      ):
        continue  # a point of the other panel's line
      label = f"{encoder}, {strategy}" if several else strategy
      color = _color(shown, label)
      found.sort()
      xs = [x for x, _ in found]
      estimates = [systems[key][score] for _, key in found]
      (line,) = axis.plot(
        xs, [each["value"] for each in estimates], "o-", color=color, markersize=3
      )
      axis.fill_between(
        xs,
        [each["low"] for each in estimates],
        [each["high"] for each in estimates],
        color=color,
        alpha=0.12,
        linewidth=0,
      )
      shown.setdefault(label, line)
    for row in results["points"]:
      if row["temperature"] is None and row["beam_size"] is None:
        encoder, strategy = row["encoder"], row["strategy"]
        label = f"{encoder}, {strategy}" if several else strategy
        value = systems[row["key"]][score]["value"]
        line = axis.axhline(value, color=_color(shown, label), ls=":")
        shown.setdefault(label, line)
    line = axis.axhline(systems[CONSTANT][score]["value"], color="#7d7d7d", ls="--")
    shown.setdefault(CONSTANT, line)
    axis.set_xlabel(name.replace("_", " "))
    axis.spines[["top", "right"]].set_visible(False)
  axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
  axes[0].set_ylabel(f"{SHOWN[score][0]}, test part")
  add_legend(figure, shown, columns=3)


def _color(shown: Mapping[str, Any], label: str) -> str:
  return _COLORS[list(dict.fromkeys([*shown, label])).index(label) % len(_COLORS)]
