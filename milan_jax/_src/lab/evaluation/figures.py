"""The figures of every test, as JSON and as one table of Markdown."""

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from milan_jax._src.lab.benchmark.machine import describe_machine
from milan_jax._src.lab.evaluation import baselines
from milan_jax._src.lab.evaluation.described import Judged
from milan_jax._src.lab.evaluation.diversity import diversity
from milan_jax._src.text.judge import judge
from milan_jax._src.version import __version__

LIBRARIES = (
  "jax",
  "jaxlib",
  "flax",
  "numpy",
  "pillow",
  "torch",
  "transformers",
  "h5py",
)
BASELINES = ("constant", "frequent", "nearest", "likelihood")

_COLUMNS = (
  ("test", "test", "{}"),
  ("n", "n", "{}"),
  ("top1", "lenient", "{:.1%}"),
  ("strict", "strict", "{:.1%}"),
  ("refused", "refused", "{:.1%}"),
  ("unwithheld", "unwithheld", "{:.1%}"),
  ("similarity", "similarity", "{:.2f}"),
  *((name, name, "{:.1%}") for name in BASELINES),
  ("distinct_words", "words", "{}"),
  ("distinct_descriptions", "descriptions", "{}"),
  ("broken", "broken", "{:.1%}"),
)


def figures(cases: Sequence[Judged]) -> dict[str, Any]:
  """What is reported of some units that were judged.

  Returns:
    `n`; `top1`, the share right by the lenient judge, and `strict`; `refused`, the
    share answered that there is no clear pattern; `unwithheld`, what `top1` would be
    had nothing been withheld; how many distinct words and descriptions there are; and
    `broken`, the share of broken sentences among the descriptions that are given.
  """
  if not cases:
    return {"n": 0, "top1": None, "strict": None, "refused": None}
  total = len(cases)
  counted = diversity({case.unit: case.answer for case in cases})
  guesses = [judge(case.answer.guess, case.truth).lenient for case in cases]
  return {
    "n": total,
    "top1": sum(case.verdict.lenient for case in cases) / total,
    "strict": sum(case.verdict.strict for case in cases) / total,
    "refused": sum(case.verdict.refused for case in cases) / total,
    "unwithheld": sum(guesses) / total,
    "distinct_words": counted["distinct_words"],
    "distinct_descriptions": counted["distinct_descriptions"],
    "broken": counted["broken"],
  }


def with_baselines(
  found: dict[str, Any],
  cases: Sequence[Judged],
  *,
  captions: Sequence[str],
  likely: baselines.Said,
  near: baselines.Said | None,
) -> dict[str, Any]:
  """Adds the baselines, and what they leave out is None.

  Args:
    found: from `figures`.
    cases: the same units.
    captions: those that constants are chosen from.
    likely: of `baselines.likelihood`.
    near: of `baselines.nearest`; None without training features.
  """
  truths = [case.truth for case in cases]
  return found | {
    "baselines": {
      "constant": baselines.constant(captions, truths) if truths else None,
      "frequent": baselines.frequent(captions, truths) if truths else None,
      "nearest": baselines.judged_by(near, cases) if near and cases else None,
      "likelihood": baselines.judged_by(likely, cases) if cases else None,
    }
  }


def by_kind(cases: Sequence[Judged]) -> dict[str, Any]:
  """Figures of each kind of negative, by the truth's name."""
  kinds = dict.fromkeys(case.truth.name for case in cases)
  return {
    kind: {
      "n": len(mine),
      "top1": sum(case.verdict.lenient for case in mine) / len(mine),
    }
    for kind in kinds
    for mine in [[case for case in cases if case.truth.name == kind]]
  }


def about() -> dict[str, Any]:
  """The machine and the versions, for whoever reads figures."""
  versions = {"milan-jax": __version__}
  for name in LIBRARIES:
    if importlib.util.find_spec("PIL" if name == "pillow" else name):
      versions[name] = importlib.metadata.version(name)
  return {"machine": describe_machine(), "versions": versions}


def table(tests: Mapping[str, Mapping[str, Any]]) -> str:
  """The tests as a table of Markdown, their subsets below them."""
  rows = []
  for name, found in tests.items():
    rows.append(_row(name, found))
    for subset, figures_ in found.get("subsets", {}).items():
      rows.append(_row(f"- {subset}", figures_))
    for kind, figures_ in found.get("kinds", {}).items():
      rows.append(_row(f"- {kind}", figures_))
  cells = [[title for _, title, _ in _COLUMNS]]
  for row in rows:
    cells.append([_cell(row.get(name), form) for name, _, form in _COLUMNS])
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    "| "
    + " | ".join(
      cell.rjust(width) if place else cell.ljust(width)
      for place, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    + " |"
    for line in cells
  ]
  rule = "|" + "|".join(
    "-" * (width + 2) if not place else "-" * (width + 1) + ":"
    for place, width in enumerate(widths)
  )
  return "\n".join([lines[0], rule + "|", *lines[1:]])


def _row(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
  others = found.get("baselines") or {}
  shares = {key: each["top1"] for key, each in others.items() if each}
  return {"test": name, **found, **shares}


def _cell(value: object, form: str) -> str:
  return "-" if value is None else form.format(value)
