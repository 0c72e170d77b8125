"""The table of `milan-generalize` with the published figures beside ours."""

import csv
import io

import pytest

from milan_jax._src.experiments.generalization_report import as_csv, draw, markdown

WAYS = ("PMI", "likelihood", "constant caption", "shuffled units")
FIGURES = {"PMI": 0.38, "likelihood": 0.34}


def row(score, published):
  estimates = {score: {"value": 0.25, "low": 0.2, "high": 0.3, "std": None}}
  words = {"words": 3.0, "distinct": 0.5, "vocabulary": 7.0, "rarity": 2.0}
  return {
    "experiment": "leave-one-out",
    "label": "all others to alexnet-imagenet",
    "train": ["a", "b"],
    "test": ["alexnet-imagenet"],
    "units": 12,
    "trials": 5,
    "published": published,
    "systems": dict.fromkeys(WAYS, estimates),
    "specificity": dict.fromkeys(("people", "PMI", "likelihood"), words),
  }


def test_the_published_figures_stand_beside_the_ways_they_are_of():
  rows = [row("bertscore", FIGURES), row("bertscore", dict.fromkeys(FIGURES))]
  lines = markdown(rows).splitlines()
  assert lines[0].endswith(" | published BERTScore: PMI | likelihood |")
  assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
  assert lines[2].endswith(" | 0.38 | 0.34 |") and lines[3].endswith(" |  |  |")
  table = list(csv.DictReader(io.StringIO(as_csv(rows[:1]))))
  assert {line["way"]: line["published"] for line in table} == {
    "PMI": "0.38",
    "likelihood": "0.34",
    "constant caption": "",
    "shuffled units": "",
  }


@pytest.mark.parametrize(("score", "crosses"), [("bertscore", 2), ("rouge_l", 0)])
def test_the_plot_has_published_figures_of_the_same_score(score, crosses):
  figure = pytest.importorskip("matplotlib.figure").Figure()
  draw([row(score, FIGURES)], figure)
  drawn = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
  assert [line.get_xdata()[0] for line in drawn] == list(FIGURES.values())[:crosses]
  # A figure of another score is in no line of the CSV either.
  values = [
    line["published"]
    for line in csv.DictReader(io.StringIO(as_csv([row(score, FIGURES)])))
  ]
  assert sum(map(bool, values)) == crosses
