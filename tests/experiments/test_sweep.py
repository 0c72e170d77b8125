"""`milan-sweep` as a whole, and its grid."""

import json
import shutil

import pytest

pytest.importorskip("sacrebleu", reason="the extra `scores` is not installed")
pytest.importorskip("rouge_score", reason="the extra `scores` is not installed")

from milan_jax._src.errors import UserError
from milan_jax._src.experiments import sweep as module
from milan_jax._src.experiments.sweep import sweep
from milan_jax._src.experiments.sweep_grid import Point, grid_encoders, grid_points
from milan_jax._src.experiments.sweep_report import draw
from milan_jax._src.options.experiments import GridOptions, SearchOptions, SweepOptions
from milan_jax._src.options.train import NetworkOptions
from milan_jax._src.scores.score_table import CONSTANT, SHOWN, SHUFFLED
from tests.experiments.colored_networks import TRAINING, write_networks


def test_each_value_is_tried_at_the_defaults_of_the_others():
  grid = GridOptions(
    strategies="greedy,greedy-mi,beam,rerank",
    beam_sizes="5,10",
    temperatures="0.1,0.2",
  )
  assert grid_points(grid, SearchOptions(beam_size=10)) == [
    Point("greedy", None, None),
    Point("greedy-mi", None, 0.1),
    Point("greedy-mi", None, 0.2),
    Point("beam", 5, None),
    Point("beam", 10, None),
    Point("rerank", 5, 0.2),
    Point("rerank", 10, 0.1),
    Point("rerank", 10, 0.2),
  ]


def test_a_point_is_searched_with_its_settings():
  found = Point("beam-mi", 5, 0.1).options(SearchOptions(length=7))
  assert (found.strategy, found.mi, found.beam_size) == ("beam", True, 5)
  assert (found.temperature, found.length) == (0.1, 7)
  assert Point("greedy", None, None).options(SearchOptions()).mi is False
  assert Point("rerank", 5, 1.0).name == "rerank beam 5 temperature 1"
  # Each point has a folder of its own.
  assert Point("rerank", 5, 0.12345678).name != Point("rerank", 5, 0.12345679).name


def test_encoders_with_weights():
  found = grid_encoders(GridOptions(encoders="a, b=b.pth"), NetworkOptions())
  assert {name: model.encoder_weights for name, model in found.items()} == {
    "a": None,
    "b": "b.pth",
  }


@pytest.mark.parametrize(
  ("grid", "words"),
  [
    ({"strategies": "greedy,beem"}, "beem"),
    ({"beam_sizes": "5,x"}, "--beam_sizes=5,x"),
    ({"beam_sizes": "0"}, "--beam_sizes=0"),
    ({"temperatures": "nan"}, "--temperatures=nan"),
    (
      {"strategies": "greedy", "beam_sizes": "5"},
      "--beam_sizes=5: no strategy of --strategies=greedy uses it; leave it out",
    ),
    (
      {"strategies": "greedy,beam", "temperatures": "0,.1"},
      "--temperatures=0,.1: no strategy of --strategies=greedy,beam uses it",
    ),
  ],
)
def test_bad_grids(grid, words):
  with pytest.raises(UserError) as error:
    grid_points(GridOptions(**grid), SearchOptions())
  assert words in error.value.for_command_line


@pytest.mark.parametrize("name", ["length", "beam_size", "decoding_batch_size"])
def test_bad_searches_fail_before_the_training(tmp_path, name):
  with pytest.raises(UserError) as error:
    SweepOptions.of(workdir=str(tmp_path), **{name: 0})
  assert error.value.for_command_line.startswith(f"--{name}: expected 1 or more")


def test_a_beam_that_no_memory_holds_fails_before_the_training(tmp_path):
  options = SweepOptions.of(workdir=str(tmp_path), beam_sizes="5,2000000000")
  with pytest.raises(UserError) as error:
    sweep(options)
  message = error.value.for_command_line
  assert message.startswith("--decoding_batch_size 64 with --beam_size 2000000000")


def test_encoders_in_two_ways_are_refused():
  with pytest.raises(UserError, match="encoder_layers"):
    grid_encoders(GridOptions(encoders="a"), NetworkOptions(encoder_layers="x"))
  with pytest.raises(UserError, match="twice"):
    grid_encoders(GridOptions(encoders="a,a"), NetworkOptions())
  for names in ("", "a,", "=b.pth"):
    with pytest.raises(UserError, match=f"encoders={names}: expected names"):
      grid_encoders(GridOptions(encoders=names), NetworkOptions())


def test_the_plot_shows_greedy_search_and_whole_beams():
  figures = pytest.importorskip("matplotlib.figure")
  score = next(iter(SHOWN))
  ways = [("greedy", None, None, 0.5), ("beam", 4, None, 0.1), ("rerank", 5, 0.2, 0.2)]
  points = [
    {
      **{"key": name, "encoder": "a", "strategy": name},
      **{"beam_size": beam, "temperature": weight},
    }
    for name, beam, weight, _ in ways
  ]
  systems = {
    name: {score: {"value": value, "low": value, "high": value}}
    for name, _, _, value in [*ways, (CONSTANT, None, None, 0.3)]
  }
  figure = figures.Figure()
  draw(
    {"points": points, "chosen_by": score, "scores": {"test": {"systems": systems}}},
    figure,
  )
  for axis in figure.axes:
    levels = [set(line.get_ydata()) for line in axis.lines]
    assert {0.5} in levels and {0.3} in levels
  ticks = figure.axes[1].get_xticks()
  assert len(ticks) and all(tick == int(tick) for tick in ticks)


def test_a_sweep_trains_once_and_points_may_be_added(tmp_path, monkeypatch):
  options = SweepOptions.of(
    data=write_networks(tmp_path),
    workdir=str(tmp_path / "run"),
    strategies="greedy,rerank",
    beam_size=3,
    decoding_batch_size=4,
    test_fraction=0.25,
    draws=20,
    **TRAINING,
  )
  first = sweep(options)
  trained = []
  train = module.train_trial
  monkeypatch.setattr(
    module,
    "train_trial",
    lambda *arguments: trained.append(1) or train(*arguments),
  )
  results = sweep(options)
  assert results == first and not trained
  names = [row["key"].partition(" ")[2] for row in results["points"]]
  assert names == ["greedy", "rerank beam 3 temperature 0.2"]
  scores = results["scores"]["test"]
  assert scores["units"] == 6 and results["scores"]["validation"]["units"] == 2
  assert set(scores["systems"]) == {
    *(row["key"] for row in results["points"]),
    CONSTANT,
    SHUFFLED,
  }
  # As after a kill: one setting was not finished.
  points = tmp_path / "run" / "efficientnet-lite0" / "points"
  shutil.rmtree(points / "rerank-beam-3-temperature-0.2")
  more = sweep(options.replace(temperatures="0.2,0.4"))
  for part, table in results["scores"].items():
    for way, found in table["systems"].items():
      assert more["scores"][part]["systems"][way] == found
  added = "efficientnet-lite0 rerank beam 3 temperature 0.4"
  assert [row["key"] for row in more["points"]] == [
    *(row["key"] for row in results["points"]),
    added,
  ]
  assert more["scores"]["test"]["systems"][results["best"]]
  folder = tmp_path / "run"
  assert json.loads((folder / "results.json").read_text()) == more
  lines = (folder / "table.md").read_text().splitlines()
  assert len(lines) == 2 + 3 + 2 + 2 and "**" in "".join(lines)
  assert (folder / "plot.png").stat().st_size > 1000
  assert (folder / "results.csv").read_text().count("\n") == 1 + 5 * 2 * 8
