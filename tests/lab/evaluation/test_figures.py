"""Baselines, calibration, held-out photographs and the table, counted by hand."""

import hashlib
import pathlib

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.lab.evaluation import baselines
from milan_jax._src.lab.evaluation import calibration_plot as calibration
from milan_jax._src.lab.evaluation import figures as report
from milan_jax._src.lab.evaluation.described import Answer, Judged, Run, answer_of
from milan_jax._src.lab.evaluation.diversity import diversity
from milan_jax._src.lab.evaluation.held_out import GEOMETRY, held_out_photographs
from milan_jax._src.records import Description, LayerExemplars, Unit
from milan_jax._src.store.feature_store import FeatureWriter
from milan_jax._src.text.judge import Truth, judge
from tests.lab.corpus.pictures import flat

DOG = Truth("dogs", frozenset({"dog"}), (frozenset({"dog"}),))
CAT = Truth("cats", frozenset({"cat"}), (frozenset({"cat"}), frozenset({"black"})))
NOTHING = Truth("nothing", negative=True)
NO = "No clear pattern"


def _case(text, truth, *, unit=0, confidence=None, guess=None, dead=False):
  answer = Answer(text, confidence, guess or text, dead)
  folder = pathlib.Path("run")
  run = Run(folder, folder, {}, {})
  return Judged(run, Unit("layer", unit), answer, truth, judge(text, truth))


def test_figures_by_hand():
  cases = [
    _case("dogs", DOG, unit=0),
    _case("Dogs", DOG, unit=1),
    _case("cats", CAT, unit=2),
    _case(NO, CAT, unit=3, guess="black cats and"),
    _case(NO, DOG, unit=4, guess="a cat"),
  ]
  found = report.figures(cases)
  assert found == {
    "n": 5,
    "top1": 0.6,
    "strict": 0.4,
    "refused": 0.4,
    "unwithheld": 0.8,
    "distinct_words": 2,  # dogs, cats
    "distinct_descriptions": 3,
    "broken": 0.0,  # nothing that is shown
  }
  assert report.figures([])["top1"] is None


def test_constants_are_the_best_and_the_most_frequent():
  captions = ["red", "cats and dogs", "dogs", "red", NO, NO, NO]
  truths = [DOG, CAT, CAT]
  best = baselines.constant(captions, truths)
  assert best == {"text": "cats and dogs", "top1": 1.0, "strict": 1 / 3}
  assert baselines.frequent(captions, truths) == {"text": "red", "top1": 0, "strict": 0}
  assert baselines.constant([NO], truths) is None


def _features(folder, layer, means):
  """A store of two regions a unit, around the mean."""
  means = np.asarray(means, np.float32)
  count, size = means.shape
  rows = np.zeros((count, 2), int)
  exemplars = LayerExemplars(
    layer, np.arange(count), rows, rows, None, None, np.zeros(count, bool)
  )
  with FeatureWriter(folder, [exemplars], feature_size=size, total=1) as writer:
    for unit, mean in enumerate(means):
      for slot, shift in enumerate((-0.01, 0.01)):
        writer.write(0, unit, slot, mean + np.float32(shift))
    writer.save(1)


def test_the_nearest_is_found_by_standardized_features(tmp_path):
  """The first feature is large and tells nothing; the second is small and tells all."""
  rng = np.random.default_rng(0)
  known = np.stack([1000 + rng.normal(0, 30, 40), np.repeat([0.0, 0.1], 20)], 1)
  captions = {Unit("corpus", n): ("dogs" if n < 20 else "cats", "x") for n in range(40)}
  _features(tmp_path / "corpus", "corpus", known)
  _features(tmp_path / "run" / "features", "layer", [[1001, 0.1], [999, 0.0]])
  truths = {Unit("layer", 0): CAT, Unit("layer", 1): DOG}
  run = Run(tmp_path / "run", tmp_path, {}, truths)
  training = baselines.Training(captions, tmp_path / "corpus")
  found = baselines.nearest([run], training)
  assert [found[run.folder, unit] for unit in truths] == ["cats", "dogs"]
  # A run that trained on several folders names the layers by their folder too.
  _features(tmp_path / "several", "set:corpus", known)
  several = baselines.Training(captions, tmp_path / "several", "set:")
  assert baselines.nearest([run], several) == found
  strangers = baselines.Training({Unit("other", 0): ("x",)}, tmp_path / "corpus")
  with pytest.raises(UserError, match="no features of the corpus's training units"):
    baselines.nearest([run], strangers)
  with pytest.raises(UserError, match="corpus_features: name the corpus"):
    baselines.read_training(None, "features")


def test_calibration_counts_what_was_withheld():
  cases = [
    _case("dogs", DOG, confidence=0.95),
    _case("dogs", CAT, confidence=0.95),
    _case(NO, DOG, confidence=0.12, guess="dogs"),
    _case(NO, NOTHING, confidence=0.18, guess="dogs"),
    _case("dogs", NOTHING, confidence=1.0),
    _case("dogs", DOG, confidence=0.5, dead=True),
    _case("dogs", DOG),
  ]
  found = calibration.calibration(cases)
  assert found["n"] == 5
  low, high = found["bins"]
  assert (low["from"], low["n"], low["right"]) == (0.1, 2, 0.5)
  assert (high["from"], high["n"]) == (0.9, 3)
  assert high["right"] == pytest.approx(1 / 3)
  error = (2 * 0.35 + 3 * (2.9 / 3 - 1 / 3)) / 5
  assert found["error"] == pytest.approx(error)
  assert calibration.calibration([_case("dogs", DOG)]) is None


def test_calibration_is_drawn(tmp_path):
  found = calibration.calibration(
    [_case("dogs", DOG, confidence=c) for c in (0.2, 0.9)]
  )
  calibration.draw(found, tmp_path / "plot.png")
  pixels = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
  assert min(pixels.shape[:2]) > 300 and len(np.unique(pixels)) > 20


def test_answers_have_a_guess_with_and_without_confidence():
  def answer(text, **known):
    return answer_of(Description(Unit("a", 3), text, 0.0, 0.0, **known))

  assert answer("Dogs") == Answer("Dogs", None, "Dogs", False)
  assert answer(NO, dead=True) == Answer(NO, None, NO, True)
  assert answer("Dogs", confidence=0.75) == Answer("Dogs", 0.75, "Dogs", False)
  withheld = answer(NO, confidence=0.125, guess="Cats")
  assert withheld == Answer(NO, 0.125, "Cats", False)


def test_what_was_trained_on_is_left_out(tmp_path):
  photographs = tmp_path / "in"
  (photographs / "deeper").mkdir(parents=True)
  names = ["a.png", "b.png", "deeper/c.png"]
  for shade, name in enumerate(names):
    Image.fromarray(flat((80 * shade,) * 3)).save(photographs / name)
  (photographs / "d.png").write_text("no picture")
  source = FolderImages(photographs, GEOMETRY)
  digest = hashlib.sha256(source.load(1).tobytes()).hexdigest()[:16]

  def shown(card, workdir):
    found = held_out_photographs(str(photographs), card, tmp_path / workdir)
    links = [path for path in found.folder.rglob("*.png") if path.resolve().exists()]
    return found, {path.relative_to(found.folder).as_posix() for path in links}

  for _ in range(2):  # the second time from what the first left
    found, left = shown({"trained_on": [digest]}, "some")
    assert left == {"a.png", "deeper/c.png"}
    assert (found.num_shown, found.num_trained_on, found.listed) == (2, 1, True)
  found, left = shown({}, "all")
  assert left == {*names, "d.png"} and not found.listed
  every = [
    hashlib.sha256(source.load(index).tobytes()).hexdigest()[:16] for index in (0, 1, 3)
  ]
  with pytest.raises(UserError, match="trained on all"):
    shown({"trained_on": every}, "none")


def test_diversity_by_hand():
  texts = ["Red dogs", "red dogs", "blue dog and", NO]
  answers = {
    Unit("a", n): Answer(text, None, text, False) for n, text in enumerate(texts)
  }
  answers[Unit("a", 9)] = Answer("cats", None, "cats", True)
  found = diversity(answers)
  assert found["n"] == 4 and found["refused"] == 0.25
  assert found["distinct_words"] == 5 and found["distinct_descriptions"] == 3
  assert found["broken"] == pytest.approx(1 / 3)


def test_the_table_shows_tests_and_their_parts():
  tests = {
    "classes": {
      "n": 3,
      "top1": 0.5,
      "baselines": {"constant": {"top1": 0.25}, "nearest": None},
      "subsets": {"all": {"n": 10, "top1": 0.1}},
    },
    "negatives": {"n": 2, "top1": 1.0, "kinds": {"dead unit": {"n": 2, "top1": 1.0}}},
  }
  lines = report.table(tests).splitlines()
  assert len({len(line) for line in lines}) == 1 and len(lines) == 2 + 4
  cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
  row = dict(zip(cells[0], cells[2], strict=True))
  assert row["test"] == "classes" and row["lenient"] == "50.0%"
  assert row["constant"] == "25.0%" and row["nearest"] == "-"
  assert [each[0] for each in cells[2:]] == [
    "classes",
    "- all",
    "negatives",
    "- dead unit",
  ]
