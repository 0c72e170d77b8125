"""`milan-eval` as a whole, on a corpus of two colors, and with bad input."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.api.captioners import load
from milan_jax._src.errors import UserError
from milan_jax._src.lab.evaluation import negatives, sentence_similarity
from milan_jax._src.lab.evaluation.described import describe_regions
from milan_jax._src.lab.evaluation.evaluate import TESTS, evaluate
from milan_jax._src.options.lab import EvalOptions
from milan_jax._src.store.region_sets import RegionSetWriter
from tests.helpers.one_size import one_size
from tests.lab.corpus.pictures import halves, noise

SIZE, K = 224, 15
SHADES = {"red": (200, 20, 30), "blue": (30, 50, 210)}
COLORS = ("red", "blue", "red", "blue", "red", "blue", None)  # the last shows nothing
SPLIT = ("train", "train", "train", "train", "test", "test", "test")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("photographs")
  rng = np.random.default_rng(0)
  for number in range(16):
    first, second = rng.integers(0, 256, (2, 3))
    image = halves(first, second, 30 * number) // 2 + noise(number) // 2
    Image.fromarray(image.astype(np.uint8)).save(folder / f"n01440764_{number}.png")
  return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Seven units of bars of a color on gray; the last is of noise."""
  folder = tmp_path_factory.mktemp("made") / "corpus"
  rng = np.random.default_rng(1)
  truths = []
  with RegionSetWriter(folder, "things", K, SIZE) as writer:
    for unit, color in enumerate(COLORS):
      rows, masks = [], []
      for slot in range(K):
        pixels = noise(100 * unit + slot, 90, 160)
        mask = np.zeros((SIZE, SIZE), bool)
        top, left = rng.integers(0, 140, 2)
        mask[top : top + 80, left : left + 80] = True
        if color:
          pixels[mask] = SHADES[color] + rng.integers(-10, 11, 3)
        rows.append(writer.image((unit, slot), pixels))
        masks.append(mask)
      writer.add(unit, rows, np.stack(masks))
      truth = {"unit": unit, "concept": color or "nothing", "references": [f"{color}"]}
      truth |= (
        {"lenient": [color], "strict": [[color]]} if color else {"negative": True}
      )
      truths.append(truth)
  (folder / "truth.json").write_text(json.dumps({"units": truths}))
  lines = [f"things,{unit},{part}" for unit, part in enumerate(SPLIT)]
  (folder / "split.csv").write_text("\n".join(["layer,unit,split", *lines, ""]))
  lines = [f"things,{unit},{color} things" for unit, color in enumerate(COLORS)]
  (folder / "annotations.csv").write_text("\n".join(["layer,unit,summary", *lines, ""]))
  return folder


def _options(workdir, **changed):
  named = {name: str(value) for name, value in changed.items()}
  return EvalOptions.of(workdir=str(workdir), page=False, **named)


@pytest.fixture(scope="module")
def found(photographs, corpus, tmp_path_factory, optimized):
  folder = tmp_path_factory.mktemp("eval")
  with one_size():
    trained = describe_regions(folder / "trained", load("starter"), corpus)
  options = _options(
    folder / "run",
    images=photographs,
    corpus=corpus,
    corpus_features=trained.features,
    tests="planted,negatives",
    json=folder / "figures.json",
    plot=folder / "plot.png",
  )
  with pytest.MonkeyPatch.context() as patch, one_size():
    for name, number in (("NUM_SHUFFLED", 2), ("NUM_RANDOM", 2), ("NUM_DEAD", 4)):
      patch.setattr(negatives, name, number)
    patch.setattr(sentence_similarity, "packaged_model", lambda: None)
    first = evaluate(options.replace(page=True))
    again = evaluate(options)
  return folder, first, again


def test_planted_colors_are_found(found):
  planted = found[1]["planted"]
  assert planted["n"] == 2 and planted["top1"] == planted["strict"] == 1.0
  assert planted["refused"] == 0.0
  assert planted["baselines"]["constant"]["top1"] == 0.5
  assert planted["baselines"]["nearest"] == {"top1": 1.0, "strict": 1.0}
  assert 0 <= planted["baselines"]["likelihood"]["top1"] <= 1


def test_units_of_nothing_are_counted_by_kind(found):
  nothing = found[1]["negatives"]
  kinds = {kind: each["n"] for kind, each in nothing["kinds"].items()}
  assert kinds == {
    "shuffled regions": 2,
    "random masks": 2,
    "dead unit": 4,
  }
  assert nothing["n"] == 8
  assert nothing["true_units"] == {"n": 2, "refused": 0.0}


def test_a_second_run_goes_on_and_says_the_same(found):
  folder, first, again = found
  assert json.loads((folder / "figures.json").read_text()) == again == first
  assert first["about"]["milan"] == "starter" and first["about"]["versions"]["jax"]
  assert "that starter was trained on are left out" in first["about"]["notes"][0]


def test_misses_are_pictured(found):
  folder, first, _ = found
  data = json.loads((folder / "run" / "misses" / "catalog.json").read_text())
  missed = [unit for unit in data["units"] if unit["layer"] == "negatives"]
  assert len(missed) == round(9 * (1 - first["negatives"]["top1"]))
  assert all("truth: " in unit["description"] for unit in missed)
  for unit in missed:
    assert (folder / "run" / "misses" / unit["images"][0]).is_file()


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({}, "There is nothing to test starter on"),
    ({"tests": "planted,best"}, "tests: expected some of planted"),
    ({"tests": "stem", "plot": "plot.pdf"}, "ends in .png"),
    ({"milan": "nothing", "tests": "stem"}, "there is no captioner 'nothing'"),
    ({"images": "/nowhere"}, "No folder /nowhere"),
    ({"corpus": "/nowhere"}, "expected a file of annotations"),
    ({"tests": "stem", "corpus_features": "x"}, "corpus_features: name the corpus"),
  ],
)
def test_bad_input_is_said_plainly(tmp_path, changed, message):
  with pytest.raises(UserError, match=message):
    evaluate(_options(tmp_path / "run", **changed))


def test_what_a_test_lacks_is_said(corpus, tmp_path, capsys):
  options = _options(tmp_path / "run", corpus=corpus, tests="classes,hand_built")
  with pytest.raises(UserError, match="None of the tests classes, hand_built"):
    evaluate(options)
  printed = capsys.readouterr().err
  assert "classes: skipped: give a folder of photographs with --images" in printed
  (corpus / "truth.json").rename(corpus / "away.json")
  try:
    with pytest.raises(UserError, match="has no truth"):
      evaluate(_options(tmp_path / "run", corpus=corpus, tests="planted"))
  finally:
    (corpus / "away.json").rename(corpus / "truth.json")


def test_the_command_says_it_and_exits_with_2(tmp_path):
  script = """
import sys
from milan_jax._src.commands.milan_eval import main
sys.exit(main())"""
  found = subprocess.run(
    [sys.executable, "-c", script, f"--workdir={tmp_path / 'run'}"],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert found.returncode == 2 and "There is nothing to test" in found.stderr
  assert "Traceback" not in found.stderr and len(TESTS) == 7
