"""The figures of every test, as JSON and as a Markdown table."""

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
  """Computes the reported figures of judged units.

  Returns:
    `n`; `top1` and `strict`, the fractions right by the lenient and by the strict
    judge; `refused`, the fraction answered with "no clear pattern"; `unwithheld`, the
    `top1` if no description were withheld; the numbers of distinct words and
    descriptions; and `broken`, the fraction of broken sentences among the descriptions
    given.
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
  """Adds the baselines; a baseline that is not available is None.

  Args:
    found: the result of `figures`.
    cases: the same units.
    captions: the candidates for the constant baselines.
    likely: the result of `baselines.likelihood`.
    near: the result of `baselines.nearest`; None without training features.
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
  """Returns the figures of each kind of negative, by the truth's name."""
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
  """Returns the machine and the versions that produced the figures."""
  versions = {"milan-jax": __version__}
  for name in LIBRARIES:
    if importlib.util.find_spec("PIL" if name == "pillow" else name):
      versions[name] = importlib.metadata.version(name)
  return {"machine": describe_machine(), "versions": versions}


def table(tests: Mapping[str, Mapping[str, Any]]) -> str:
  """Formats the tests as a Markdown table, with their subsets below them."""
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
