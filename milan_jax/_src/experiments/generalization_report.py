"""The results of `milan-generalize`: JSON, CSV, a table and a plot."""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from milan_jax._src.experiments.result_files import (
  add_legend,
  csv_text,
  write_results,
)
from milan_jax._src.experiments.specificity import PEOPLE
from milan_jax._src.experiments.trained_trial import LIKELIHOOD, PMI
from milan_jax._src.scores.score_table import CONSTANT, SHOWN, SHUFFLED, Estimate, cell

if TYPE_CHECKING:
  from matplotlib.figure import Figure

Row = Mapping[str, Any]
_PUBLISHED = (PMI, LIKELIHOOD)
_WAYS = (*_PUBLISHED, CONSTANT, SHUFFLED)
_COLUMNS = (
  *("experiment", "label", "train", "test", "units", "trials", "way", "score"),
  *("value", "low", "high", "std", "published"),
)


def write(rows: Sequence[Row], folder: pathlib.Path) -> None:
  """Writes all files of the results."""
  write_results(
    folder,
    list(rows),
    rows=as_csv(rows),
    table=markdown(rows),
    draw=functools.partial(draw, rows),
  )


def as_csv(rows: Sequence[Row]) -> str:
  """Formats all scores of all rows, one line each."""
  return csv_text(_COLUMNS, _lines(rows))


def _lines(rows: Sequence[Row]) -> Iterator[Row]:
  for row in rows:
    named = {**row, "train": "+".join(row["train"]), "test": "+".join(row["test"])}
    for way in _WAYS:
      for score, estimate in sorted(row["systems"][way].items()):
        published = row["published"].get(way) if score == "bertscore" else None
        line = {**named, "way": way, "score": score, **estimate}
        yield {**line, "published": published}


def shown_score(rows: Sequence[Row]) -> str:
  """Returns the score of the table: BERTScore, or ROUGE-L without it."""
  found = rows[0]["systems"][PMI]
  return "bertscore" if "bertscore" in found else "rouge_l"


def markdown(rows: Sequence[Row]) -> str:
  """Formats the paper's table beside its figures, and a table of specificity."""
  score = shown_score(rows)
  lines = [
    f"| experiment | networks | units | trials | {SHOWN[score][0]}: "
    f"{' | '.join(_WAYS)} | published BERTScore: {' | '.join(_PUBLISHED)} |",
    "|---" * (4 + len(_WAYS) + len(_PUBLISHED)) + "|",
  ]
  for row in rows:
    cells = " | ".join(cell(_estimate(row, way, score), score) for way in _WAYS)
    figures = [row["published"][way] for way in _PUBLISHED]
    published = " | ".join("" if each is None else f"{each:.2f}" for each in figures)
    lines.append(
      f"| {row['experiment']} | {row['label']} | {row['units']} | {row['trials']} | "
      f"{cells} | {published} |"
    )
  lines += [
    "",
    "In brackets: 95 % intervals over units.",
    "",
    "| experiment | networks | way | words | distinct | content words | rarity, nats |",
    "|---|---|---|---|---|---|---|",
  ]
  for row in rows:
    for way in (PEOPLE, PMI, LIKELIHOOD):
      found = row["specificity"][way]
      lines.append(
        f"| {row['experiment']} | {row['label']} | {way} | {found['words']:.1f} | "
        f"{100 * found['distinct']:.0f} % | {found['vocabulary']:.0f} | "
        f"{found['rarity']:.2f} |"
      )
  return "\n".join(lines) + "\n"


def _estimate(row: Row, way: str, score: str) -> Estimate:
  return Estimate(**row["systems"][way][score])


_COLORS = {
  PMI: "#1f5fa8",
  LIKELIHOOD: "#3f9d8f",
  CONSTANT: "#7d7d7d",
  SHUFFLED: "#b5b5b5",
}


def draw(rows: Sequence[Row], figure: "Figure") -> None:
  """Draws for each case a point with its interval per way, and the published value."""
  score = shown_score(rows)
  shown: dict[str, Any] = {}
  figure.set_size_inches(7, 1.4 + 0.55 * len(rows))
  axis = figure.subplots()
  for place, row in enumerate(rows):
    for number, way in enumerate(_WAYS):
      found = _estimate(row, way, score)
      y = place + 0.17 * (number - 1.5)
      axis.plot((found.low, found.high), (y, y), color=_COLORS[way], linewidth=1.2)
      (point,) = axis.plot(found.value, y, "o", color=_COLORS[way], markersize=4)
      shown.setdefault(way, point)
    for number, way in enumerate(_PUBLISHED):
      if row["published"][way] is not None and score == "bertscore":
        y = place + 0.17 * (number - 1.5)
        (point,) = axis.plot(row["published"][way], y, "x", color="#c0392b")
        shown.setdefault("published", point)
  axis.set_yticks(
    range(len(rows)), [f"{row['experiment']}\n{row['label']}" for row in rows]
  )
  axis.tick_params(axis="y", labelsize=7)
  axis.invert_yaxis()
  axis.set_xlabel(f"{SHOWN[score][0]}, 95 % intervals over units")
  axis.spines[["top", "right"]].set_visible(False)
  add_legend(figure, shown, columns=4)
