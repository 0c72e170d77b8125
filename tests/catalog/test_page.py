import dataclasses
import html.parser
import json

import numpy as np
import pytest

from milan_jax._src.catalog import page
from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit


class _Reader(html.parser.HTMLParser):
  """Collects tags with their attributes, and checks that they are nested well."""

  VOID = frozenset({"meta", "input", "img", "br"})

  def __init__(self):
    super().__init__()
    self.tags = []
    self.open = []
    self.texts = []

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ("style", "script"):
      self.texts.append(data)


INFO = page.PageInfo(
  title="Units of <a network>",
  architecture="tiny",
  dataset="4 photographs",
  facts={"Photographs": "4 & no more"},
  notes=["Point at your own: `describe.py --images FOLDER`."],
)


def _units(calls, layers=("conv/1", "block.2"), number=2):
  for layer in layers:
    for index in range(number):

      def regions(place=(layer, index)):
        calls.append(place)
        images = np.full((3, 32, 32, 3), 40 * place[1] + 50, np.uint8)
        return images, np.ones((3, 32, 32), bool)

      yield page.PageUnit(
        Unit(layer, index),
        f"red & <b>green</b> things {index}",
        regions,
        scores={"score": -1.5 * index, "confidence": float("nan")},
        dead=index == 1,
      )


def _write(folder, calls, source="a", **kwargs):
  return page.write_page(
    folder,
    _units(calls, **kwargs),
    info=INFO,
    layers=["conv/1", "block.2"],
    source=source,
  )


def _snapshot(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def test_the_page_is_sound_html_that_shows_every_unit(tmp_path):
  path = _write(tmp_path, [])
  reader = _Reader()
  reader.feed(path.read_text(encoding="utf-8"))
  reader.close()
  assert not reader.open
  pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
  assert len(pictures) == 4
  for attrs in pictures:
    assert attrs["loading"] == "lazy"
    assert attrs["alt"]
    assert (attrs["width"], attrs["height"]) == ("340", "112")
    # The browser undoes one quoting: what is left names a file.
    assert (tmp_path / attrs["src"].replace("%25", "%")).is_file()
  text = "".join(reader.texts)
  assert "red & <b>green</b> things 0" in text
  assert "Units of <a network>" in text
  assert "4 & no more" in text
  assert "describe.py --images FOLDER" in text
  assert ("code", {}) in reader.tags
  assert ("b", {}) not in reader.tags
  targets = {attrs["id"] for tag, attrs in reader.tags if tag == "section"}
  links = {
    attrs["href"][1:]
    for tag, attrs in reader.tags
    if tag == "a" and attrs["href"].startswith("#")
  }
  options = {attrs["value"] for tag, attrs in reader.tags if tag == "option"} - {""}
  assert links == options == targets
  assert len(targets) == 2


@pytest.mark.parametrize(
  ("fires", "dead", "said"),
  [
    ((4, 28), False, "fires on 4 of 28 images"),
    ((1234, 50000), False, "fires on 1,234 of 50,000 images"),
    ((28, 28), False, ""),
    ((0, 28), True, ""),
    (None, False, ""),
  ],
)
def test_a_unit_that_rests_says_on_how_many_images_it_fires(
  tmp_path, fires, dead, said
):
  (unit, *_) = _units([])
  page.write_page(
    tmp_path,
    [dataclasses.replace(unit, fires=fires, dead=dead)],
    info=INFO,
    layers=["conv/1"],
    source="a",
  )
  reader = _Reader()
  reader.feed((tmp_path / "index.html").read_text(encoding="utf-8"))
  text = "".join(reader.texts)
  assert said in text and (said or "fires on" not in text)
  (entry,) = json.loads((tmp_path / "catalog.json").read_text())["units"]
  assert (entry.get("fires"), entry.get("num_images")) == (fires or (None, None))


def test_the_data_lists_layers_and_units(tmp_path):
  _write(tmp_path, [])
  data = json.loads((tmp_path / "catalog.json").read_text(encoding="utf-8"))
  assert data["name"] == "Units of <a network>"
  assert data["architecture"] == "tiny"
  assert data["dataset"] == "4 photographs"
  assert data["layers"] == ["conv/1", "block.2"]
  assert [(unit["layer"], unit["unit"]) for unit in data["units"]] == [
    ("conv/1", 0),
    ("conv/1", 1),
    ("block.2", 0),
    ("block.2", 1),
  ]
  assert data["units"][1]["description"] == "red & <b>green</b> things 1"
  assert data["units"][1]["score"] == -1.5
  assert data["units"][1]["confidence"] is None
  for unit in data["units"]:
    assert all((tmp_path / image).is_file() for image in unit["images"])


def test_what_is_drawn_is_not_drawn_again_and_the_bytes_stay(tmp_path):
  calls = []
  _write(tmp_path, calls)
  assert len(calls) == 4
  before = _snapshot(tmp_path)
  (tmp_path / "images" / "block.2" / "1.jpg").unlink()
  _write(tmp_path, calls)
  assert calls[4:] == [("block.2", 1)]
  assert _snapshot(tmp_path) == before


@pytest.mark.parametrize("way", ["flip", "cut", "text", "empty", "swap"])
def test_a_damaged_picture_is_drawn_anew(tmp_path, way):
  _write(tmp_path, [])
  pictures = sorted((tmp_path / "images").rglob("*.jpg"))
  whole = [picture.read_bytes() for picture in pictures]
  data = bytearray(whole[1])
  data[len(data) // 2] ^= 4
  ways = {"flip": bytes(data), "cut": whole[1][:-9], "text": b"text", "empty": b""}
  pictures[1].write_bytes({**ways, "swap": whole[0]}[way])
  calls = []
  _write(tmp_path, calls)
  assert len(calls) == 1
  assert [picture.read_bytes() for picture in pictures] == whole


def test_a_marker_that_is_no_text_is_one_of_another_source(tmp_path):
  _write(tmp_path, [])
  (tmp_path / "images" / "source.txt").write_bytes(b"\xffa")
  calls = []
  _write(tmp_path, calls)
  assert len(calls) == 4


def test_a_folder_in_the_place_of_a_picture_is_named(tmp_path):
  _write(tmp_path, [])
  picture = next((tmp_path / "images").rglob("*.jpg"))
  picture.unlink()
  picture.mkdir()
  with pytest.raises(UserError, match=picture.name):
    _write(tmp_path, [])


def test_pictures_of_other_regions_are_drawn_anew(tmp_path):
  calls = []
  _write(tmp_path, calls, source="a")
  _write(tmp_path, calls, source="b", number=1)
  assert calls[4:] == [("conv/1", 0), ("block.2", 0)]
  assert not (tmp_path / "images" / "block.2" / "1.jpg").exists()


def test_a_run_that_breaks_leaves_the_old_page(tmp_path):
  path = _write(tmp_path, [])
  before = path.read_bytes()

  def breaks():
    yield from _units([], number=1)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    page.write_page(
      tmp_path, breaks(), info=INFO, layers=["conv/1", "block.2"], source="a"
    )
  assert path.read_bytes() == before
  assert not list(tmp_path.rglob("*.partial"))


def test_a_unit_of_no_layer_and_a_unit_twice_are_errors(tmp_path):
  with pytest.raises(UserError, match=r"'block.2'.*conv/1"):
    page.write_page(tmp_path, _units([]), info=INFO, layers=["conv/1"], source="a")
  with pytest.raises(UserError, match="twice"):
    _write(tmp_path, [], layers=("conv/1", "conv/1"))


def test_how_sure_a_description_is_and_what_was_withheld(tmp_path):
  def regions():
    return np.full((1, 32, 32, 3), 99, np.uint8), np.ones((1, 32, 32), bool)

  some = [
    page.PageUnit(Unit("a", 0), "Dogs", regions, confidence=0.871),
    page.PageUnit(Unit("a", 1), "Cats", regions, confidence=0.4),
    page.PageUnit(
      Unit("a", 2), "No clear pattern", regions, confidence=0.07, guess="<Red> & round"
    ),
    page.PageUnit(Unit("a", 3), "Owls", regions),
    page.PageUnit(Unit("a", 4), "Mice", regions, dead=True, confidence=0.0),
    page.PageUnit(Unit("a", 5), "Bats", regions, confidence=float("nan")),
  ]
  path = page.write_page(tmp_path, some, info=INFO, layers=["a"], source="a")
  reader = _Reader()
  reader.feed(path.read_text(encoding="utf-8"))
  reader.close()
  assert not reader.open
  text = "".join(reader.texts)
  assert text.count("confidence ") == 2, "unknown, dead and undefined say nothing"
  for said in ("confidence 87%", "confidence 40%"):
    assert said in text
  assert "best guess: “<Red> & round”, 7%" in text
  kinds = [attrs.get("class") for tag, attrs in reader.tags if tag == "p"]
  assert [kind for kind in kinds if kind in ("said", "withheld", "dead")] == [
    *("said", "said", "withheld", "said", "dead", "said")
  ]
  assert [kind for kind in kinds if kind and "sure" in kind] == [
    *("sure", "sure low", "sure low")
  ]
  meters = [float(attrs["value"]) for tag, attrs in reader.tags if tag == "meter"]
  assert meters == [0.871, 0.4, 0.07]
  data = json.loads((tmp_path / "catalog.json").read_text(encoding="utf-8"))
  assert [unit["confidence"] for unit in data["units"]] == [
    *(0.871, 0.4, 0.07, None, 0.0, None)
  ]
  assert [unit["guess"] for unit in data["units"]] == [
    *("", "", "<Red> & round", "", "", "")
  ]


@pytest.mark.parametrize("name", ["images/holiday.jpg", "index.html", "catalog.json"])
def test_files_of_the_users_own_are_left_alone(tmp_path, name):
  (tmp_path / name).parent.mkdir(exist_ok=True)
  (tmp_path / name).write_bytes(b"mine")
  with pytest.raises(UserError, match=f"{name} was not written by milan-jax"):
    _write(tmp_path, [])
  assert _snapshot(tmp_path) == {name: b"mine"}


def test_what_is_described_withheld_and_dead_at_a_glance(tmp_path):
  def regions():
    return np.full((1, 32, 32, 3), 99, np.uint8), np.ones((1, 32, 32), bool)

  off = {"guess": "Red things", "confidence": 0.1}
  some = [
    page.PageUnit(Unit("a", 0), "Dogs", regions, photographs=9, fires=(3, 20)),
    page.PageUnit(Unit("a", 1, "off"), "Cats", regions, photographs=1),
    page.PageUnit(Unit("a", 2, "off"), "No clear pattern", regions, **off),
    page.PageUnit(Unit("<b>", 0), "Mice", regions, dead=True, photographs=4),
  ]
  path = page.write_page(tmp_path, some, info=INFO, layers=["a", "<b>"], source="a")
  reader = _Reader()
  reader.feed(path.read_text(encoding="utf-8"))
  reader.close()
  assert not reader.open
  text = " ".join(" ".join(reader.texts).split())
  assert "layer units described of these off withheld dead" in text
  for row in ("a 3 2 1 1 0", "<b> 1 0 0 0 1", "all 4 2 1 1 1"):
    assert row in text
  assert "fires on 3 of 20 images, seen on 9 photographs" in text
  assert "seen on 1 photograph " in text
  assert "4 photographs" not in text, "nothing is known of a dead unit"
  assert text.count("off: Cats") == 1
  data = json.loads((tmp_path / "catalog.json").read_text(encoding="utf-8"))
  assert [unit.get("photographs") for unit in data["units"]] == [9, 1, None, 4]
