"""The page's handlers without a browser."""

import dataclasses
import html.parser
import io
import json
import tempfile

import numpy as np
import pytest
from PIL import Image

import milan_jax
from milan_jax._src.app import answer_view
from milan_jax._src.app.answer_view import answer_html
from milan_jax._src.app.handlers import Handlers
from milan_jax._src.app.server import serving
from milan_jax._src.app.uploads import data_url
from milan_jax._src.app.workbench import (
  OWN,
  Answer,
  Settings,
  Workbench,
  _options,
)
from milan_jax._src.errors import UserError
from milan_jax._src.options.local_page import LocalPageOptions
from tests.app.conftest import LAYER, WORD
from tests.app.pictures import url
from tests.helpers.commands import run_here

HOW = (OWN, "", "")


class _Reader(html.parser.HTMLParser):
  """Collects text; fails on scripts and on pictures that are fetched."""

  def __init__(self, text):
    super().__init__()
    self.texts, self.tags, self.classes = [], [], []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    given = dict(attrs)
    self.classes.append(given.get("class"))
    assert tag not in ("script", "b", "i", "a")
    assert not any(name.startswith("on") for name in given)
    if tag == "img":
      assert given["src"].startswith("data:image/png;base64,")

  def handle_data(self, data):
    self.texts.append(data)

  @property
  def text(self):
    return "".join(self.texts)


@pytest.fixture(scope="module")
def workbench(evil_run):
  return Workbench([str(evil_run)])


@pytest.fixture(scope="module")
def handlers(workbench):
  return Handlers(workbench)


def test_a_run_is_listed(workbench):
  assert list(workbench.runs) == ["<i>run"]
  assert workbench.captioners == ["<b>captioner"]
  assert workbench.layers("<i>run") == [LAYER]
  assert workbench.units("<i>run", LAYER) == ["0", "1", "2", "3"]


def test_a_unit_is_described_again(workbench, handlers):
  run = workbench.runs["<i>run"]
  entry, number = run.descriptions[2], "2"
  answer = workbench.describe_unit("<i>run", LAYER, number, Settings("<b>captioner"))
  assert answer.description == entry == answer.earlier
  assert answer.decoding == "<b>captioner, greedy"
  found = _Reader(
    handlers.describe_unit("<i>run", LAYER, number, "<b>captioner", OWN, "", "")
  )
  assert found.text.count(entry.text) == 2 and WORD in entry.text.lower()
  assert f"<i>run: {LAYER}/{number}" in found.texts
  assert f"{entry.log_prob:.2f}".replace("-", "\N{MINUS SIGN}") in found.texts
  # The attention of each word over the three regions.
  (read,) = milan_jax.load(run.captioner).attend(
    run.features_of([entry.unit]), {entry.unit: [entry.text]}
  )[entry.unit]
  weights = [f"{weight:.0%}" for row in read.weights for weight in row]
  places = [n for n, name in enumerate(found.classes) if name == "milan-weight"]
  assert len(places) == len(weights) == 3 * len(read.words)
  assert all(weight in found.texts for weight in weights)
  assert found.tags.count("img") == 3


def test_a_run_of_features_alone_has_no_pictures(evil_run, workbench, tmp_path):
  whole = workbench.runs["<i>run"]
  milan_jax.describe(
    milan_jax.DescribeOptions.of(
      features=str(evil_run / "features"),
      milan=whole.captioner,
      workdir=str(tmp_path / "alone"),
      batch_size=1,
    )
  )
  alone = Workbench([str(tmp_path / "alone")])
  assert alone.runs["alone"].descriptions == whole.descriptions
  text = Handlers(alone).describe_unit("alone", LAYER, "1", "<b>captioner", *HOW)
  found = _Reader(text)
  assert "img" not in found.tags and "Region 3" in found.texts
  with pytest.raises(UserError, match="is a run of features alone"):
    alone.runs["alone"].strip(whole.descriptions[1].unit)


@pytest.mark.parametrize(
  ("confidence", "expected"),
  [(0.9961, "confidence >99%"), (0.98, "confidence 98%"), (0.001, "confidence <1%")],
)
def test_a_confidence_is_never_certain(workbench, confidence, expected):
  entry = dataclasses.replace(
    workbench.runs["<i>run"].descriptions[0], confidence=confidence
  )
  answer = Answer("a", entry, None, None, entry, "how")
  assert _Reader(str(answer_html(answer))).text.count(expected) == 2


def test_numbers_have_a_minus_but_no_negative_zero():
  values = {-2.345678: "2.35", -0.005001: "0.01"}
  for value, shown in values.items():
    assert answer_view._decimal(value) == f"\N{MINUS SIGN}{shown}"
  assert answer_view._decimal(np.float32(-0.004)) == "0.00"
  assert answer_view._decimal(-0.004, sign="+") == "+0.00"
  assert answer_view._decimal(1.5, sign="+") == "+1.50"


@pytest.mark.parametrize("changes", [{"text": ""}, {"dead": True}])
def test_without_words_there_is_no_attention(workbench, monkeypatch, changes):
  captioner = workbench._captioner("<b>captioner")
  entry = dataclasses.replace(workbench.runs["<i>run"].descriptions[0], **changes)
  monkeypatch.setattr(captioner, "describe", lambda *_, **__: [entry])
  answer = workbench.describe_unit("<i>run", LAYER, "0", Settings("<b>captioner"))
  assert answer.attention is None and answer.description == entry
  assert "Attention" not in answer_html(answer)


def test_pictures_are_described_as_a_units_exemplars(workbench, handlers, tmp_path):
  """The same regions as a unit's: the same description; and no file is written."""
  run = workbench.runs["<i>run"]
  images, masks = run.regions(run.unit(f"{LAYER}/1"))
  items = []
  for image, mask in zip(images, masks, strict=True):
    painted = np.zeros((224, 224, 4), np.uint8)
    painted[mask] = 255
    buffer = io.BytesIO()
    Image.fromarray(painted).save(buffer, "PNG")
    mask_url = url(buffer.getvalue())
    items.append({"name": WORD, "picture": data_url(image), "mask": mask_url})
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tempfile, "tempdir", str(tmp_path))
    text = handlers.describe_pictures(json.dumps(items), "<b>captioner", *HOW)
  found = _Reader(text)
  assert run.descriptions[1].text in found.text
  assert "3 pictures" in found.texts
  assert not list(tmp_path.iterdir())


def test_a_search_lists_units_and_regions(workbench, handlers, monkeypatch):
  score = milan_jax.TextScore(WORD, -2.0, -5.0, -1.0, ("<u>",))
  matches = [
    milan_jax.TextMatch(milan_jax.Unit(LAYER, unit), score, pmi, np.array(alone))
    for unit, pmi, alone in (
      (3, 3.25, [0.5, np.nan, 4.5]),
      (1, 1.75, [-2.5, 6.25, 0.25]),
    )
  ]
  captioner = workbench._captioner("<b>captioner")
  given = []
  monkeypatch.setattr(
    captioner, "find", lambda *a, **k: given.append((a, k)) or matches
  )
  found = _Reader(handlers.find("<i>run", WORD, "20"))
  assert given == [((workbench.runs["<i>run"].features, WORD), {"top": 20})]
  names = [f"{LAYER}/3", f"{LAYER}/1"]
  assert [each for each in found.texts if each in names] == names
  assert {
    "3.25",
    "1.75",
    "\N{MINUS SIGN}2.00",
    f"2 units that “{WORD}” fits best",
  } <= set(found.texts)
  assert "does not know: <u>." in found.text
  # The regions that it fits best alone, best first, by their places among a unit's.
  labels = [each for each in found.texts if ", region " in each]
  assert [label.removeprefix(LAYER) for label in labels] == [
    "/1, region 2: 6.25",
    "/3, region 3: 4.50",
    "/3, region 1: 0.50",
    "/1, region 3: 0.25",
    "/1, region 1: \N{MINUS SIGN}2.50",
  ]
  assert found.tags.count("img") == 2 * 5


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("nowhere", LAYER, "0", "<b>captioner", *HOW), "Choose one of the runs"),
    (("<i>run", "nowhere", "0", "<b>captioner", *HOW), "expected LAYER/UNIT"),
    (("<i>run", LAYER, "9", "<b>captioner", *HOW), "no such unit"),
    (("<i>run", LAYER, "0", "/etc/passwd", *HOW), "Choose one of the captioners"),
    (("<i>run", LAYER, "0", "<b>captioner", "wild", "", ""), "strategy"),
    (("<i>run", LAYER, "0", "<b>captioner", OWN, "x", ""), "expected a number"),
    (("<i>run", LAYER, "0", "<b>captioner", OWN, "", "2.5"), "a whole number"),
    (("<i>run", LAYER, "0", "<b>captioner", "beam", "", "0"), "beam_size"),
    (("<i>run", LAYER, "0", "<b>captioner", "rerank", "-1", ""), "temperature"),
    (("<i>run", LAYER, "0", "<b>captioner", "beam", "", "9" * 9), "memory"),
    ((None,) * 7, "Choose one of the runs"),
  ],
)
def test_bad_choices_are_answered_with_a_message(handlers, arguments, message):
  found = _Reader(handlers.describe_unit(*arguments))
  assert found.classes == ["milan-error"] and message in found.text


@pytest.mark.parametrize("text", ["", "  ", None, "x" * 301])
def test_bad_texts_are_answered_with_a_message(handlers, text):
  assert _Reader(handlers.find("<i>run", text, "10")).classes == ["milan-error"]


@pytest.mark.parametrize("top", ["", None, "0", "-1", "11", "999999999", "many"])
def test_a_number_of_units_that_is_not_offered_is_refused(handlers, top):
  found = _Reader(handlers.find("<i>run", WORD, top))
  assert found.classes == ["milan-error"]
  assert "Units to show: choose one of 10, 20, 50." in found.text


def test_a_bug_is_answered_without_its_details(handlers, monkeypatch, caplog):
  def broken(*_):
    raise RuntimeError("a secret")

  monkeypatch.setattr(handlers._workbench, "find", broken)
  found = _Reader(handlers.find("<i>run", "red", "10"))
  assert found.classes == ["milan-error"] and "secret" not in found.text
  assert "a secret" in caplog.text


def test_options_that_a_strategy_does_not_use_are_left_out(workbench):
  captioner = workbench._captioner("<b>captioner")
  both = {"temperature": 0.5, "beam_size": 7}
  for strategy, used in (
    (OWN, {}),
    ("sample", {}),
    ("beam", {"beam_size": 7}),
    ("rerank", both),
  ):
    found = _options(captioner, Settings("<b>captioner", strategy, **both))
    expected = None if strategy == OWN else strategy
    assert found == milan_jax.DecodingOptions(strategy=expected, batch_size=1, **used)
    captioner.resolve(found)


def test_captioners_of_one_name_are_told_apart(evil_run, captioner):
  other = captioner.parent / "<b>captioner"
  captioner.rename(other)
  try:
    names = Workbench([str(evil_run)], [str(other)]).captioners
  finally:
    other.rename(captioner)
  assert len(set(names)) == 2 and all(name.endswith("/<b>captioner") for name in names)


def test_the_options_of_the_command():
  options = LocalPageOptions.of(runs="a, b,,a", milan=" base ")
  assert options.run_folders == ["a", "b"] and options.captioner_names == ["base"]
  assert LocalPageOptions.of(runs="").captioner_names == ["starter"]
  with pytest.raises(UserError, match="port=0: expected 1 to 65535"):
    LocalPageOptions.of(port=0)


def test_the_command_refuses_what_is_not_a_run(tmp_path):
  pytest.importorskip("gradio")
  found = run_here("demo", "--runs", tmp_path)
  assert found.returncode == 2 and "does not hold a run" in found.stderr


def test_without_gradio_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "gradio", None)
  with (
    pytest.raises(UserError, match=r"pip install 'milan-jax\[app\]'"),
    serving(LocalPageOptions.of(runs="")),
  ):
    pass
