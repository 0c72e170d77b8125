"""What notebooks show: escaped, whole in itself, and the values that it is of."""

import base64
import dataclasses
import html.parser
import importlib
import io

import numpy as np
import pytest
from PIL import Image

import milan_jax
import milan_jax._src.api  # registers what objects look like
from milan_jax._src import notebook
from milan_jax._src.records import LayerExemplars

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class _Reader(html.parser.HTMLParser):
  """Collects text and tags; fails on a tag that is left open."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.texts, self.pictures, self.open = [], [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    if tag == "img":
      kind, _, data = dict(attrs)["src"].partition(",")
      assert kind == "data:image/png;base64"
      self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data))))
      assert not {name for name, _ in attrs} - {"alt", "height", "src", "style"}
    else:
      assert not {name for name, _ in attrs} - {"style"}
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data)

  @property
  def text(self):
    return "|".join(self.texts)


def _read(value):
  shown = value._repr_html_()
  assert type(shown) is str  # Markup would escape what is joined to it
  found = _Reader(shown)
  allowed = {"b", "table", "thead", "tbody", "tr", "th", "td", "img", "p"}
  assert set(found.tags) <= allowed
  return found


@pytest.mark.parametrize(
  ("name", "parts"),
  [
    ("exemplars", ("Exemplars on ", "conv2", "8")),
    ("features", ("Features", "conv2", "5")),
    ("captioner", ("efficientnet-lite0", "greedy")),
    ("network", ("Network with ", "conv1", "NHWC")),
    ("descriptions", ("8 descriptions", "conv2")),
  ],
)
def test_objects_show_what_they_hold(scene, name, parts):
  _, names = scene
  text = _read(names[name]).text
  assert all(part in text for part in parts), text


def test_what_is_made_by_hand_shows_itself_too(monkeypatch):
  monkeypatch.setattr(notebook, "views", "")
  milan_jax.__getattr__("Descriptions")
  assert hasattr(importlib.import_module(notebook.views), "as_html")
  monkeypatch.setattr(notebook, "views", "milan_jax.nowhere")
  with pytest.raises(ModuleNotFoundError, match=r"milan_jax\.nowhere"):
    milan_jax.Descriptions()._repr_html_()


def test_descriptions_show_text_and_regions(scene):
  _, names = scene
  captioner, exemplars = names["captioner"], names["exemplars"]
  described = captioner.describe(exemplars)
  found = _read(described)
  texts = ("Never varies" if entry.dead else entry.text for entry in described)
  assert all(text in found.text for text in texts)
  assert len(found.pictures) == len(described) == 8
  # A tile of 72 pixels for each region, with 2 pixels between them.
  assert found.pictures[0].height == 72 and (found.pictures[0].width + 2) % 74 == 0
  assert not _read(names["descriptions"]).pictures  # of features alone
  assert described[0].text in _read(described[0]).text


def test_attention_has_a_line_per_word_and_a_column_per_region():
  weights = np.array([[0.25, 0.75], [0.995, 0.005]], np.float32)
  log_probs = np.array([-1.5, -0.25], np.float32)
  read = milan_jax.TextAttention(EVIL, (EVIL, "(end)"), weights, log_probs, log_probs)
  expected = ["word", "log p(word | regions)", "log p(word)", "region 1", "region 2"]
  expected += [EVIL, "-1.50", "-1.50", "25%", "75%"]
  expected += ["(end)", "-0.25", "-0.25", "100%", "0%"]
  cells = [text for text in _read(read).texts if text.strip()]
  assert cells == [EVIL, *expected]
  alone = dataclasses.replace(read, lm_log_probs=None)
  assert _read(alone).texts.count("-1.50") == 1


def test_several_values_are_listed():
  score = milan_jax.TextScore("a dax wug", -1.23456, None, -1.0, ("dax", "wug"))
  assert {"-1.235", "dax, wug"} <= set(_read(score).texts)
  assert "()" not in _read(dataclasses.replace(score, unknown=())).texts
  values = np.array([1.23456, np.nan], np.float32)
  match = milan_jax.TextMatch(milan_jax.Unit("conv2", 0), score, 0.5, values)
  assert {"1.235, nan", "dax, wug"} <= set(_read(match).texts)


def test_a_run_shows_itself(scene):
  folder, _ = scene
  found = _read(milan_jax.open_run(folder / "finished"))
  assert str(folder / "captioner") in found.texts and len(found.pictures) == 8


class _Evil:
  """Exemplars whose layer has a name of HTML."""

  layers = (EVIL,)
  num_images = 1

  def exemplars(self, layer):
    zeros = np.zeros((30, 1), np.int64)
    return LayerExemplars(
      layer, np.arange(30), zeros, zeros, None, None, np.zeros(30, bool)
    )

  def images(self, rows):
    return np.zeros((len(rows), 8, 8, 3), np.uint8)

  def masks(self, layer, rows, slots):
    return np.ones((len(rows), 8, 8), bool)


def test_all_text_is_escaped():
  entries = [
    milan_jax.Description(milan_jax.Unit(EVIL, number), EVIL, 0.0, 0.0, guess=EVIL)
    for number in range(30)
  ]
  found = _read(milan_jax.Descriptions(entries, _Evil()))
  assert found.texts.count(EVIL) == 3 * 20  # layer, description and guess of 20 units
  assert "10 more units" in found.text
  assert EVIL in _read(entries[0]).texts
  score = milan_jax.TextScore(EVIL, -1.0, None, -1.0, (EVIL,))
  assert EVIL in _read(score).texts
  surrogate = dataclasses.replace(entries[0], text="\udcff")
  assert "?" in _read(surrogate).texts


def test_a_confidence_is_never_certain():
  values = (1.0, 0.995, 0.9949, 0.285001, 0.005, 0.0049, 0.0)
  shown = (">99%", ">99%", "99%", "29%", "1%", "<1%", "<1%")
  entries = [
    milan_jax.Description(milan_jax.Unit("a", 0), "Dogs", 0.0, 0.0, confidence=value)
    for value in values
  ]
  texts = _read(milan_jax.Descriptions(entries)).texts
  assert [text for text in texts if text.endswith("%")] == list(shown)
  for entry, expected in zip(entries, shown, strict=True):
    assert expected in _read(entry).texts


def test_what_means_nothing_is_not_shown_of_a_dead_unit():
  dead = milan_jax.Description(
    milan_jax.Unit("a", 0), "Dogs", -1.5, -2.5, dead=True, confidence=0.5, guess="Cats"
  )
  for value in (dead, milan_jax.Descriptions([dead])):
    found = _read(value)
    assert "Never varies" in found.texts
    assert not any(word in found.text for word in ("Dogs", "Cats", "1.5", "2.5", "%"))


def test_options_show_what_is_set():
  options = milan_jax.DescribeOptions.of(model=EVIL, strategy="beam")
  found = _read(options)
  assert EVIL in found.texts and "beam" in found.texts
  assert "temperature" not in found.texts  # not set
