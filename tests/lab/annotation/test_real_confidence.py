"""The confidence of a small release, fitted on judged units."""

import dataclasses

import jax
import numpy as np
import pytest

from milan_jax._src.lab.annotation import real_confidence
from milan_jax._src.lab.annotation.judging import main
from milan_jax._src.lab.annotation.real_confidence import (
  REAL_EVIDENCE,
  balanced_threshold,
  cross_validated,
)
from milan_jax._src.models import confidence_model
from milan_jax._src.models.word_detectors import WordDetectorSpec
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store import release as releases
from milan_jax._src.store.feature_store import open_features
from milan_jax._src.training.calibrate import describe_with_evidence
from milan_jax._src.training.fit_confidence import fit_probability
from tests.helpers.feature_store import write_features
from tests.helpers.tiny_release import tiny_release

UNITS = 24


def test_the_threshold_balances_what_would_be_said():
  found = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
  # Said from the top, right less wrong: 1, 2, 1, 2, 1.5, .5
  good = np.array([1, 1, 0, 1, 0.25, 0])
  assert balanced_threshold(found, good) == pytest.approx(0.55)
  # Of equal gains (2 after two and after four) the lower threshold.
  assert balanced_threshold(found[:3], good[:3]) == pytest.approx(0.75)
  assert balanced_threshold(found, np.ones(6)) == pytest.approx(0.2)
  assert balanced_threshold(found, np.zeros(6)) == pytest.approx(0.95)


def test_a_fold_does_not_see_its_own_units():
  rng = np.random.default_rng(0)
  evidence = {name: rng.normal(size=40) for name in REAL_EVIDENCE}
  right = rng.integers(0, 3, 40) / 2
  found = cross_validated(evidence, right, REAL_EVIDENCE, 5)
  # Another verdict of a unit changes other units, and not those of its fold.
  changed = right.copy()
  changed[7] = 1 - right[7] if right[7] != 0.5 else 1
  same = np.flatnonzero(cross_validated(evidence, changed, REAL_EVIDENCE, 5) == found)
  assert 7 in same and len(same) == 4
  inside = np.isin(np.arange(40), same)
  spec = fit_probability(
    {name: values[~inside] for name, values in evidence.items()},
    right[~inside],
    REAL_EVIDENCE,
  )
  columns = confidence_model.table(evidence, spec.evidence)
  expected = confidence_model.probabilities(spec, columns)[inside]
  np.testing.assert_allclose(found[inside], expected)


def _guarded(release):
  return dataclasses.replace(
    release, decoding=dataclasses.replace(release.decoding, guarded=True)
  )


def _describe(release, store, indices):
  """A search in small: evidence and descriptions straight out of the features."""
  features = store.read_rows(np.array(indices))[:, 0]
  evidence = dict(zip(REAL_EVIDENCE, features.T, strict=False))
  return evidence, [f"Things {index}" for index in indices]


@pytest.fixture
def described(released, monkeypatch):
  monkeypatch.setattr(real_confidence, "describe_with_evidence", _describe)
  return released


@pytest.fixture(scope="module")
def released(tmp_path_factory):
  """A release, features of two networks, and verdicts that follow the likelihood."""
  folder = tmp_path_factory.mktemp("fit")
  release = _guarded(tiny_release())
  half = jax.tree.map(lambda x: x.astype(np.float16), release.params)
  releases.save_release(dataclasses.replace(release, params=half), folder / "milan")
  rng = np.random.default_rng(0)
  lines = ["run,layer,unit,description,verdict"]
  for run in ("one", "two"):
    features = rng.normal(size=(UNITS // 2, 3, 32)).astype(np.float32)
    write_features(folder / run / "features", features)
    for unit, value in enumerate(features[:, 0, 0]):
      verdict = "wrong" if value < -0.4 else "partly" if value < 0.2 else "right"
      lines.append(f"{run},a,{unit},Things {unit},{verdict}")
  (folder / "judged.csv").write_text("\n".join(lines) + "\n")
  return folder


def _fit(folder, *options):
  features = f"{folder}/one/features,two={folder}/two/features"
  given = (f"--milan={folder}/milan", f"--features={features}")
  return main(["fit", *given, *options])


def test_a_release_gets_the_fitted_confidence(described, capsys):
  tensors = (described / "milan" / releases.TENSORS_FILE).read_bytes()
  judged = f"--judged={described}/judged.csv"
  options = real_confidence.FitOptions(
    described / "milan",
    f"{described}/one/features,{described}/two/features",
    described / "judged.csv",
  )
  found = real_confidence.fit(options)
  assert found["units"] == UNITS and found["changed"] == 0
  # Verdicts follow the likelihood alone.
  assert found["auc"] > 0.9
  assert found["said"] + found["withheld"] == UNITS
  spec = releases.load_release(described / "milan").confidence
  assert spec.threshold == found["threshold"]
  labels = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
  lines = (described / "judged.csv").read_text().splitlines()[1:]
  rows = [line.split(",") for line in lines]
  parts = [
    _describe(None, open_features(described / run / "features"), range(UNITS // 2))[0]
    for run in ("one", "two")
  ]
  evidence = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
  right = np.array([labels[row[4]] for row in rows])
  expected = fit_probability(evidence, right, REAL_EVIDENCE)
  assert spec == dataclasses.replace(expected, threshold=spec.threshold)
  assert (described / "milan" / releases.TENSORS_FILE).read_bytes() == tensors
  first = (described / "milan" / "milan.json").read_bytes()
  assert _fit(described, judged) == 0
  assert (described / "milan" / "milan.json").read_bytes() == first
  assert f"of {UNITS} judged units (0 have" in capsys.readouterr().out
  assert _fit(described, judged, "--threshold_rule=.35") == 0
  assert releases.load_release(described / "milan").confidence == dataclasses.replace(
    spec, threshold=0.35
  )


def test_verdicts_of_other_descriptions_do_not_count(described, tmp_path, capsys):
  lines = (described / "judged.csv").read_text().splitlines()
  fields = [line.split(",") for line in lines]
  for row in fields[1:4]:
    row[3] = "Something else"
  path = tmp_path / "judged.csv"
  path.write_text("\n".join(map(",".join, fields)) + "\n")
  assert _fit(described, f"--judged={path}") == 0
  assert f"of {UNITS - 3} judged units (3 have" in capsys.readouterr().out


def test_units_of_nothing_are_wrong_whatever_is_said(described, tmp_path, capsys):
  lines = (described / "judged.csv").read_text().splitlines()
  assert _fit(described, f"--judged={described}/judged.csv") == 0
  before = releases.load_release(described / "milan").confidence
  capsys.readouterr()
  fields = [line.split(",") for line in lines]
  right = [row for row in fields if row[4] == "right"][:3]
  for row in right:
    row[3:] = "", "nothing"
  path = tmp_path / "judged.csv"
  path.write_text("\n".join(map(",".join, fields)) + "\n")
  assert _fit(described, f"--judged={path}", "--threshold_rule=1") == 0
  out = capsys.readouterr().out
  assert f"of {UNITS - 3} judged units (0 have" in out
  assert "Of 3 units that have nothing in common, 3 are withheld." in out
  spec = releases.load_release(described / "milan").confidence
  # As if these descriptions had been judged wrong.
  assert spec.bias < before.bias
  # The threshold and the figures are of the other units alone.
  options = real_confidence.FitOptions(
    described / "milan",
    f"{described}/one/features,{described}/two/features",
    path,
  )
  found = real_confidence.fit(options)
  assert found["said"] + found["withheld"] == found["units"] == UNITS - 3
  assert found["nothing"] == 3
  labels = {"right": 1.0, "partly": 1.0, "wrong": 0.0}
  judged = [row for row in fields[1:] if row[4] != "nothing"]
  evidence = {
    (run, unit): _describe(None, open_features(described / run / "features"), [unit])[0]
    for run, unit in ((row[0], int(row[2])) for row in judged)
  }
  probability = [
    confidence_model.probabilities(
      spec, confidence_model.table(evidence[row[0], int(row[2])], spec.evidence)
    )[0]
    for row in judged
  ]
  good = np.array([labels[row[4]] for row in judged])
  expected = balanced_threshold(np.array(probability), good)
  assert found["threshold"] == pytest.approx(expected)
  for row in right:
    row[3:] = f"Things {int(row[2])}", "wrong"
  path.write_text("\n".join(map(",".join, fields)) + "\n")
  assert _fit(described, f"--judged={path}", "--threshold_rule=1") == 0
  assert releases.load_release(described / "milan").confidence == spec


@pytest.mark.parametrize(
  ("lines", "options", "message"),
  [
    (("one,a,0,,nothing", "one,a,0,,right"), (), "has the verdict 'nothing' and anoth"),
    (("one,a,0,Dogs,good",), (), "line 2: expected a verdict among right, partly"),
    (("one,a,0,Dogs,right", "one,a,0,Cats,right"), (), "two descriptions, 'Dogs'"),
    ((), (), "has no verdict"),
    (("three,a,0,Dogs,right",), (), "found none for three"),
    (("one,b,0,Dogs,right",), (), "unit 0 of b (on) of one; found none"),
    (("one,a,0,Dogs,right",), ("--threshold_rule=best",), "expected balance, or a"),
    (("one,a,0,Dogs,right",), ("--threshold_rule=0",), "a probability above 0"),
  ],
)
def test_bad_input(described, tmp_path, capsys, lines, options, message):
  path = tmp_path / "judged.csv"
  path.write_text("\n".join(("run,layer,unit,description,verdict", *lines)) + "\n")
  before = (described / "milan" / "milan.json").read_bytes()
  assert _fit(described, f"--judged={path}", *options) == 2
  error = capsys.readouterr().err
  assert error.startswith("judging fit: ") and message in error
  assert error.count("\n") == 1
  assert (described / "milan" / "milan.json").read_bytes() == before


def test_a_captioner_with_detectors_goes_by_their_words(tmp_path, capsys):
  release, rng = _guarded(tiny_release()), np.random.default_rng(2)
  spec = WordDetectorSpec(("blue", "dot", "edge", "green", "red"), 16)
  detectors = {
    name: {
      "kernel": rng.normal(size=shape).astype("f4"),
      "bias": np.zeros(shape[1], "f4"),
    }
    for name, shape in (("hidden", (32, 16)), ("output", (16, 5)))
  }
  release = dataclasses.replace(
    release,
    params=release.params | {"word_detectors": detectors},
    word_detectors=spec,
  )
  releases.save_release(release, tmp_path / "milan")
  features = rng.normal(size=(UNITS, 3, 32)).astype(np.float32)
  write_features(tmp_path / "one" / "features", features)
  store = open_features(tmp_path / "one" / "features")
  evidence, texts = describe_with_evidence(release, store, range(UNITS))
  # Descriptions are right whose words the detectors find.
  right = evidence["words"] > np.median(evidence["words"])
  rows = [
    f"one,a,{unit},{text},{'right' if is_right else 'wrong'}"
    for unit, (text, is_right) in enumerate(zip(texts, right, strict=True))
  ]
  path = tmp_path / "judged.csv"
  path.write_text("\n".join(("run,layer,unit,description,verdict", *rows, "")))
  given = f"--milan={tmp_path}/milan", f"--features={tmp_path}/one/features"
  assert main(["fit", *given, f"--judged={path}"]) == 0
  assert f"of {UNITS} judged units (0 have" in capsys.readouterr().out
  written = releases.load_release(tmp_path / "milan")
  assert written.word_detectors == spec
  found = written.confidence
  assert found.evidence == (
    *("capped_agreement", "words", "consensus", "likelihood", "margin"),
  )
  expected = fit_probability(evidence, right.astype(float), found.evidence)
  assert dataclasses.replace(found, threshold=expected.threshold) == expected
  assert found.weights[1] == max(found.weights) > 0


@pytest.mark.parametrize(
  ("decoding", "message"),
  [
    ({"guarded": False}, "found strategy rerank, guarded False, 0 descriptions of no"),
    ({"strategy": "greedy"}, "found strategy greedy, guarded True"),
  ],
)
def test_a_captioner_without_the_evidence(
  released, tmp_path, capsys, decoding, message
):
  release = _guarded(tiny_release())
  release = dataclasses.replace(
    release, decoding=dataclasses.replace(release.decoding, **decoding)
  )
  _is_refused(release, released, tmp_path, capsys, message)


def test_a_captioner_without_a_language_model(released, tmp_path, capsys):
  release = _guarded(tiny_release())
  params = {"captioner": release.params["captioner"]}
  release = dataclasses.replace(
    release,
    language_model=None,
    params=params,
    decoding=Decoding("beam", 6, 5, guarded=True),
  )
  message = "expected a captioner with a language model, whose scores"
  _is_refused(release, released, tmp_path, capsys, message)


def _is_refused(release, released, folder, capsys, message):
  releases.save_release(release, folder / "milan")
  features = f"{released}/one/features,{released}/two/features"
  judged = f"--judged={released}/judged.csv"
  assert main(["fit", f"--milan={folder}/milan", f"--features={features}", judged]) == 2
  error = capsys.readouterr().err
  assert error.startswith("judging fit: --milan=") and message in error
  assert error.count("\n") == 1


def test_too_few_verdicts(described, tmp_path, capsys):
  lines = (described / "judged.csv").read_text().splitlines()
  path = tmp_path / "judged.csv"
  path.write_text("\n".join(lines[:6]) + "\n")
  assert _fit(described, f"--judged={path}") == 2
  assert "found 5, and 0 with another description" in capsys.readouterr().err
