"""From small stores to sheets, and from verdicts to figures, by the command."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from milan_jax._src.annotation.sheet_key import KeyUnit
from milan_jax._src.lab.annotation.judged_figures import auc, auc_terms, figures
from milan_jax._src.lab.annotation.judged_texts import Result
from milan_jax._src.lab.annotation.judged_units import last_layer_quotas
from milan_jax._src.lab.annotation.judging import main
from milan_jax._src.lab.annotation.verdicts import JudgedUnit
from tests.helpers.sheet_stores import statistics, write_store

KEY = """sheet,letter,run,layer,unit,sign
1,A,one,a,0,on
1,B,one,b,1,on
1,C,one,b,2,on
2,A,two,a,0,off
2,B,two,a,1,on
2,C,two,b,5,on
"""
HEADER = "layer,unit,description,score,dead,confidence,guess,sign\n"
DESCRIPTIONS = {
  "one": """a,0,Dog heads,-1,0,0.95,,on
b,1,Places where two,-1,0,0.92,,on
b,2,No clear pattern,-1,0,0.2,Wheels,on
""",
  "two": """a,0,Green things,-1,0,0.7,,on
a,0,Red things,-1,0,0.4,,off
a,1,No clear pattern,-1,0,0.1,Blue areas,on
b,5,Grass,-1,0,0.6,,on
""",
}
VERDICTS = """sheet,letter,verdict,guess_verdict,comment
1,A,right,,
1,B,partly,,"ends too early"
1,C,wrongly,right,
2,A,Wrong,,
2,B,rightly,wrong,
2,C,right,,
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stores")
  for number, name in enumerate(("first", "second")):
    layers = {"a": statistics(number), "b": statistics(9 + number)}
    write_store(folder / name / "exemplars", layers)
  annotated = folder / "annotated"
  annotated.mkdir()
  annotated.joinpath("first.csv").write_text(
    "layer,unit,summary\nb,2,dogs\nb,3,cats\nb,4,trees\nb,4,leaves\na,5,cars\n"
  )
  return folder


def _draw(stores, workdir, *options):
  folders = ",".join(str(stores / name / "exemplars") for name in ("first", "second"))
  annotated = stores / "annotated"
  given = (f"--exemplars={folders}", f"--annotated={annotated}", "--held_out=second")
  return main(["draw", *given, f"--workdir={workdir}", *options])


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


DRAW = ("--num_units=12", "--num_held_out=8", "--last_layers=7")


def test_units_are_drawn_by_network_and_depth(stores, tmp_path):
  assert _draw(stores, tmp_path / "work", *DRAW) == 0
  key = _rows(tmp_path / "work" / "key.csv")
  units = [(row["run"], row["layer"], int(row["unit"])) for row in key]
  assert len(set(units)) == 12
  # Even shares give 2 and 4 units of the last layers; the first network adds one.
  counts = {
    (run, layer): sum(unit[:2] == (run, layer) for unit in units)
    for run in ("first", "second")
    for layer in "ab"
  }
  assert list(counts.values()) == [1, 3, 4, 4]
  assert all(unit > 1 for _, _, unit in units), "dead, or with too few regions"
  annotated = {("first", "b", 2), ("first", "b", 3), ("first", "b", 4)}
  assert not set(units) & (annotated | {("first", "a", 5)})
  assert [row["letter"] for row in key] == list("ABC" * 4)
  assert len(list((tmp_path / "work" / "sheets").iterdir())) == 4
  assert [
    (row["run"], row["layer"]) for row in _rows(tmp_path / "work/layers.csv")
  ] == [
    ("first", "a"),
    ("first", "b"),
    ("second", "a"),
    ("second", "b"),
  ]
  assert _draw(stores, tmp_path / "again", *DRAW) == 0
  for name in ("key.csv", "sheets/003.png"):
    again = (tmp_path / "again" / name).read_bytes()
    assert again == (tmp_path / "work" / name).read_bytes()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (("--held_out=third",), "expected one of the networks first, second"),
    (("--num_held_out=13",), "expected at most --num_units=12"),
    (("--num_units=0",), "expected 1 or more"),
    (("--last_layers=13",), "from 0 to --num_units=12"),
    # Of the first network's last layer 7 units have regions and 3 are annotated.
    (("--num_units=18", "--last_layers=18"), "first: expected 10 units of its last"),
    (("--num_units=19", "--num_held_out=15"), "second: expected 15 units with 5 reg"),
    (("--annotated=nowhere",), "expected a folder of NETWORK.csv files"),
  ],
)
def test_what_cannot_be_drawn(stores, tmp_path, capsys, options, message):
  assert _draw(stores, tmp_path / "work", *DRAW, *options) == 2
  error = capsys.readouterr().err
  assert error.startswith("judging draw: ") and message in error
  assert error.count("\n") == 1


def test_quotas_of_the_last_layers():
  numbers = {"vgg16": 60, "lite0": 18, "mobilenet": 18, "inception": 18}
  lengths = {"vgg16": 9, "lite0": 8, "mobilenet": 8, "inception": 10}
  even = {"vgg16": 6, "lite0": 2, "mobilenet": 2, "inception": 1}
  assert last_layer_quotas(numbers, lengths, 0) == even
  # 1 / 18, then 6 / 60, then 2 / 18 of three networks.
  more = {"vgg16": 7, "lite0": 3, "mobilenet": 2, "inception": 2}
  assert last_layer_quotas(numbers, lengths, 14) == more


@pytest.fixture
def judged(tmp_path):
  """Sheets of six units, described; the descriptions have other units too."""
  work = tmp_path / "work"
  work.mkdir()
  work.joinpath("key.csv").write_text(KEY)
  work.joinpath("layers.csv").write_text("run,layer\none,a\none,b\ntwo,a\ntwo,b\n")
  for name, rows in DESCRIPTIONS.items():
    (tmp_path / name).mkdir()
    (tmp_path / name / "descriptions.csv").write_text(HEADER + rows)
  files = f"{tmp_path}/one/descriptions.csv,two={tmp_path}/two/descriptions.csv"
  assert main(["texts", f"--workdir={work}", f"--descriptions={files}"]) == 0
  return work


def _report(work, *verdicts, options=()):
  paths = []
  for number, text in enumerate(verdicts):
    path = work / f"verdicts{number}.csv"
    path.write_text(text)
    paths.append(str(path))
  given = (f"--workdir={work}", f"--verdicts={','.join(paths)}")
  return main(["report", *given, *options])


def test_judges_see_the_texts_alone(judged):
  assert judged.joinpath("texts.csv").read_text() == (
    "sheet,letter,description\n1,A,Dog heads\n1,B,Places where two\n"
    "1,C,No clear pattern\n2,A,Red things\n2,B,No clear pattern\n2,C,Grass\n"
  )
  assert judged.joinpath("guesses.csv").read_text() == (
    "sheet,letter,guess\n1,C,Wheels\n2,B,Blue areas\n"
  )
  assert judged.joinpath("results.csv").read_text().splitlines()[3:5] == [
    "1,C,one,b,2,on,No clear pattern,0.2,Wheels",
    "2,A,two,a,0,off,Red things,0.4,",
  ]


def test_figures_equal_those_by_hand(judged, capsys):
  plot = judged / "plot.png"
  assert _report(judged, VERDICTS, options=(f"--plot={plot}",)) == 0
  printed = capsys.readouterr().out
  assert printed == judged.joinpath("figures.md").read_text()
  assert "| all | 6 | 33 % (" in printed
  assert plot.read_bytes()[:4] == b"\x89PNG"
  found = json.loads(judged.joinpath("figures.json").read_text())
  assert found["without_verdict"] == 0 and found["judged_twice"] == 0
  groups = found["groups"]

  def values(group):
    return {
      name: (each["value"], each["n"])
      for name, each in groups[group].items()
      if name != "units"
    }

  assert values("all") == {
    "right": (0.3333, 6),
    "right or rightly withheld": (0.5, 6),
    "partly": (0.1667, 6),
    "wrong": (0.1667, 6),
    "rightly withheld": (0.1667, 6),
    "wrongly withheld": (0.1667, 6),
    "broken": (0.25, 4),
    "sure: right": (0.5, 2),
    "sure: right or partly": (1.0, 2),
    # .95 right, .92 partly, .6 right, .4 wrong; guesses: .2 right, .1 wrong.
    "AUC, said, partly as half": (round(3 / 3.5, 4), 4),
    "AUC, said, partly as wrong": (0.75, 4),
    "AUC, with guesses, partly as half": (round(6.5 / 8.5, 4), 6),
    "AUC, with guesses, partly as wrong": (round(6 / 9, 4), 6),
  }
  last = values("last layers")
  assert groups["last layers"]["units"] == 3 == groups["two"]["units"]
  assert last["right"] == last["wrongly withheld"] == (0.3333, 3)
  assert values("two")["right or rightly withheld"] == (0.6667, 3)
  assert values("two")["sure: right"] == (None, 0)
  bins = {each["from"]: each for each in found["calibration"]["bins"]}
  assert bins[0.9]["n"] == 2 and bins[0.9]["right"] == 0.75
  assert bins[0.9]["confidence"] == pytest.approx(0.935)
  assert bins[0.1]["right"] == 0 and bins[0.2]["right"] == 1
  assert judged.joinpath("judged.csv").read_text().splitlines() == [
    "layer,unit,sign,run,description,verdict",
    "a,0,on,one,Dog heads,right",
    "b,1,on,one,Places where two,partly",
    "b,2,on,one,Wheels,right",
    "a,0,off,two,Red things,wrong",
    "a,1,on,two,Blue areas,wrong",
    "b,5,on,two,Grass,right",
  ]


def test_several_judges_have_equal_parts(judged):
  other = "sheet,letter,verdict\n1,A,wrong\n1,B,partly\n1,C,\n2,C,right\n"
  texts = VERDICTS.replace(",right,\n2,A", ",,\n2,A").replace(",wrong,\n", ",,\n")
  assert _report(judged, texts, other) == 0
  found = json.loads(judged.joinpath("figures.json").read_text())
  assert found["judged_twice"] == 3 and found["alike"] == 0.6667
  everything = found["groups"]["all"]
  assert everything["right"]["value"] == 0.25
  assert everything["wrong"]["value"] == 0.25
  assert everything["AUC, with guesses, partly as half"]["value"] is None
  # Rights .5 (.95) and 1 (.6); wrongs .5 (.95), 1 (.92) and 1 (.4).
  expected = (0.5 * 2 + 1) / (0.5 * 2 + 0.5 + 2)
  assert everything["AUC, said, partly as wrong"]["value"] == round(expected, 4)


def test_units_without_a_verdict_are_counted(judged, capsys):
  assert _report(judged, "sheet,letter,verdict\n1,A,right\n") == 0
  assert capsys.readouterr().out.startswith("5 of 6 units have no verdict.\n")


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    (
      "1,A,good,",
      "line 2: expected a verdict of 'Dog heads' among right, partly, wrong",
    ),
    ("1,C,right,", "line 2: expected a verdict of 'No clear pattern' among rightly,"),
    ("1,C,wrongly,rightly", "expected a guess_verdict of 'Wheels' among right"),
    ("1,A,right,right", "without a guess that was withheld"),
    ("1,A,right,\n1,A,right,", "line 3: sheet 1, letter A has two of verdict"),
    ("3,A,right,", "sheet 3 has no letter A"),
    ("1,A,,", "expected verdicts in a column verdict; found none"),
  ],
)
def test_bad_verdicts(judged, capsys, rows, message):
  assert _report(judged, f"sheet,letter,verdict,guess_verdict\n{rows}\n") == 2
  error = capsys.readouterr().err
  assert error.startswith("judging report: ") and message in error
  assert error.count("\n") == 1


def test_bad_descriptions(judged, capsys):
  path = judged.parent / "one" / "descriptions.csv"
  other = judged.parent / "two" / "descriptions.csv"
  for files, message in (
    (f"{path}", "found none for two, only one"),
    (f"{path},one={other}", "two paths are of the network one"),
    (f"one={other},{other}", "one: expected a description of unit 1 of b (on)"),
  ):
    given = (f"--workdir={judged}", f"--descriptions={files}")
    assert main(["texts", *given]) == 2
    assert message in capsys.readouterr().err
  path.write_text(path.read_text().replace("0.95", "95"))
  given = (f"--workdir={judged}", f"--descriptions={path},{other}")
  assert main(["texts", *given]) == 2
  assert "expected a confidence from 0 to 1; found '95'" in capsys.readouterr().err


def _unit(index, text, verdict):
  result = Result(KeyUnit("one", "a", index, "on"), text, None, "")
  return JudgedUnit(result, (verdict,), ())


def test_the_interval_is_that_of_the_binomial():
  units = [_unit(i, "Dogs", "right" if i < 30 else "wrong") for i in range(100)]
  found = figures(units, {"one": "b"})
  share = found["groups"]["all"]["right"]
  # The bootstrap of a share draws it from a binomial distribution.
  assert share["value"] == 0.3 and share["n"] == 100
  for name, level in (("low", 0.025), ("high", 0.975)):
    assert share[name] == pytest.approx(binom.ppf(level, 100, 0.3) / 100, abs=0.011)
  assert found["groups"]["last layers"] == {"units": 0}
  assert found["calibration"] is None
  assert figures(units, {"one": "b"}) == found


def test_the_auc_is_that_of_scikit_learn():
  rng = np.random.default_rng(3)
  confidences = rng.integers(0, 8, 50) / 8  # with ties
  right = rng.random(50) < 0.4
  expected = roc_auc_score(right, confidences)
  assert auc(confidences, right.astype(float)) == pytest.approx(expected)
  weights = rng.multinomial(50, np.full(50, 1 / 50), 1)
  numerators, denominators = auc_terms(confidences, right.astype(float), weights)
  expected = roc_auc_score(right, confidences, sample_weight=weights[0])
  assert numerators[0] / denominators[0] == pytest.approx(expected)
  assert auc(confidences, np.ones(50)) is None
