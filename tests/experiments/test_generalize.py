"""`milan-generalize` as a whole, on two tiny networks."""

import csv
import io
import json
import math
import shutil

import pytest

pytest.importorskip("sacrebleu", reason="the extra `scores` is not installed")
pytest.importorskip("rouge_score", reason="the extra `scores` is not installed")

from milan_jax._src.errors import UserError
from milan_jax._src.experiments import generalize as generalization
from milan_jax._src.experiments import trained_trial
from milan_jax._src.experiments.generalize import generalize
from milan_jax._src.experiments.specificity import specificity
from milan_jax._src.options.experiments import GeneralizeOptions
from milan_jax._src.scores.rouge import Rouge
from milan_jax._src.scores.score_table import CONSTANT, score_table
from tests.experiments.colored_networks import TRAINING, UNITS, write_networks

RESULTS = ("results.json", "results.csv", "table.md")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A finished run of two cases, which four rows share."""
  folder = tmp_path_factory.mktemp("generalize")
  options = GeneralizeOptions.of(
    data=write_networks(folder),
    workdir=str(folder / "run"),
    experiments="leave-one-out,train-on-one",
    trials=1,
    beam_size=3,
    decoding_batch_size=4,
    draws=20,
    worst=2,
    **TRAINING,
  )
  return folder / "run", options, generalize(options)


def test_what_the_results_hold(finished):
  folder, _, rows = finished
  assert [row["label"] for row in rows] == [
    *("all others to one", "all others to two", "one to all others"),
    "two to all others",
  ]
  assert [(row["train"], row["test"]) for row in rows[:2]] == [
    (["two"], ["one"]),
    (["one"], ["two"]),
  ]
  assert json.loads((folder / "results.json").read_text()) == rows
  # Two rows are of the same networks: each captioner is trained once.
  assert rows[0]["systems"] == rows[3]["systems"]
  assert len(list(folder.glob("cases/*/*/trial.json"))) == 2
  assert not list(folder.glob("cases/*/*/checkpoints"))


def test_the_scores_are_those_of_all_units_of_the_other_network(finished):
  folder, _, rows = finished
  trial = json.loads((folder / "cases" / "two--one" / "0" / "trial.json").read_text())
  names = ["red", "green", "blue"] * (UNITS // 3)
  known = [[f"{name} things", f"{name} areas"] for name in names]
  said = {way: [texts] for way, texts in trial["descriptions"].items()}
  assert set(said) == {"PMI", "likelihood"} and len(said["PMI"][0]) == UNITS
  expected = score_table(said, known, [Rouge()], training=known, draws=20)
  found = rows[0]["systems"]
  for way in (*said, CONSTANT):
    assert found[way]["rouge_l"]["value"] == expected.systems[way]["rouge_l"].value
  assert set(rows[0]["constant"]) == {"rouge_l", "bleu"}
  assert rows[0]["specificity"] == specificity(said, known, known)


def test_the_table_and_the_csv(finished):
  folder, _, rows = finished
  lines = (folder / "table.md").read_text().splitlines()
  assert lines[2].startswith("| leave-one-out | all others to one | 12 | 1 | ")
  first = rows[0]["systems"]["PMI"]["rouge_l"]
  assert f"{first['value']:.2f} ({first['low']:.2f} to" in lines[2]
  table = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
  assert len(table) == 4 * 4 * (3 + 5)  # rows, ways, scores
  (line,) = [
    each for each in table[:32] if (each["way"], each["score"]) == ("PMI", "rouge_l")
  ]
  assert float(line["value"]) == first["value"]
  assert (folder / "plot.png").stat().st_size > 1000


def test_the_worst_units_are_pictured(finished):
  folder, _, _ = finished
  page = json.loads((folder / "worst" / "catalog.json").read_text())
  assert len(page["units"]) == 4 * 2
  assert all("people: " in unit["description"] for unit in page["units"])
  pictures = [path for unit in page["units"] for path in unit["images"]]
  assert all((folder / "worst" / path).is_file() for path in pictures)


def test_a_killed_run_resumes_to_the_same_bytes(finished, monkeypatch):
  folder, options, _ = finished
  before = {name: (folder / name).read_bytes() for name in RESULTS}
  for name in RESULTS:
    (folder / name).unlink()
  (folder / "cases" / "one--two" / "scores.json").unlink()
  shutil.rmtree(folder / "cases" / "two--one" / "0")
  trained = []
  train = trained_trial.train_milan
  monkeypatch.setattr(
    trained_trial,
    "train_milan",
    lambda data, encoder, options, folder, **rest: (
      trained.append(folder.parent.name)
      or train(data, encoder, options, folder, **rest)
    ),
  )
  generalize(options)
  assert trained == ["two--one"]
  assert {name: (folder / name).read_bytes() for name in RESULTS} == before


def test_scores_are_kept_for_the_same_metrics_alone(finished, monkeypatch):
  _, options, rows = finished
  scored = []
  monkeypatch.setattr(
    generalization,
    "score_table",
    lambda *given, **named: scored.append(1) or score_table(*given, **named),
  )
  assert generalize(options) == rows and not scored
  monkeypatch.setattr(Rouge, "identity", "another model of the same name")
  assert generalize(options) == rows and len(scored) == 2


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    ({"hidden_size": 8}, "hidden_size is 16 there"),
    ({"data": None}, "--data"),
    ({"trials": 0}, "--trials"),
    ({"beam_size": 0}, "beam_size: expected 1 or more"),
    ({"decoding_batch_size": 0}, "--decoding_batch_size: expected 1 or more"),
    ({"units": 2}, "--units"),
    ({"experiments": "across-task"}, "MILANNOTATIONS"),
    ({"projection": "1,2"}, "--projection=1,2"),
    ({"learning_rate": -1.0}, "--learning_rate: expected 1e-12"),
  ],
)
def test_bad_options(finished, changed, words):
  _, options, _ = finished
  with pytest.raises(UserError) as error:
    generalize(options.replace(**changed))
  assert words in error.value.for_command_line


def test_specificity_counts_words_and_weighs_them_by_rarity():
  known = [["red dogs", "x"], ["red things", "y"]]
  found = specificity(
    {"one": [["Red dogs.", "red dogs"]]}, known, [["red dogs", "red cars"], ["red"]]
  )
  one = found["one"]
  assert one["words"] == 2 and one["distinct"] == 0.5 and one["vocabulary"] == 2
  assert one["rarity"] == pytest.approx((math.log(4 / 4) + math.log(4 / 2)) / 2)
  assert found["people"]["distinct"] == 1 and found["people"]["vocabulary"] == 2
