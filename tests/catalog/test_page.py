import dataclasses
import html.parser
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.catalog import page, run_page
from milan_jax._src.catalog.distributions import Bins, UnitDistribution
from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from tests.helpers import site_data


class _Reader(html.parser.HTMLParser):
  """Collects tags with their attributes, and checks that they are nested well."""

  VOID = frozenset({"meta", "input", "img", "br", "link"})

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


def test_the_page_is_sound_html_and_its_data_has_every_unit(tmp_path):
  path = _write(tmp_path, [])
  reader = _Reader()
  reader.feed(path.read_text(encoding="utf-8"))
  reader.close()
  assert not reader.open
  text = "".join(reader.texts)
  assert "Units of <a network>" in text
  assert "4 & no more" in text
  assert "describe.py --images FOLDER" in text
  assert ("code", {}) in reader.tags
  assert ("b", {}) not in reader.tags
  (policy,) = [attrs["content"] for tag, attrs in reader.tags if "http-equiv" in attrs]
  assert "default-src 'none'" in policy and "unsafe" not in policy
  scripts = [attrs["src"] for tag, attrs in reader.tags if tag == "script"]
  styles = [attrs["href"] for tag, attrs in reader.tags if tag == "link"]
  assert all((tmp_path / name).is_file() for name in (*scripts, *styles))
  assert not [tag for tag, attrs in reader.tags if "style" in attrs or tag == "style"]
  for name, _ in (each for _, attrs in reader.tags for each in attrs.items()):
    assert not name.startswith("on"), "the policy forbids inline scripts"
  found = site_data.columns(tmp_path)
  assert found["unit"].tolist() == [0, 1, 0, 1]
  assert found["layer"].tolist() == [0, 0, 1, 1]
  assert found["shown"] == ["red & <b>green</b> things 0", ""] * 2
  assert found["tiles"].tolist() == [3] * 4
  layers = site_data.facts(tmp_path)["layers"]
  assert [(layer["name"], layer["folder"], layer["first"]) for layer in layers] == [
    ("conv/1", "conv%2F1", 0),
    ("block.2", "block.2", 2),
  ]


@pytest.mark.parametrize(
  ("fires", "dead", "known"),
  [
    ((4, 28), False, (4, 28)),
    ((28, 28), False, (28, 28)),
    ((0, 28), True, (-1, -1)),
    (None, False, (-1, -1)),
  ],
)
def test_on_how_many_images_a_unit_fires(tmp_path, fires, dead, known):
  (unit, *_) = _units([])
  page.write_page(
    tmp_path,
    [dataclasses.replace(unit, fires=fires, dead=dead)],
    info=INFO,
    layers=["conv/1"],
    source="a",
  )
  found = site_data.columns(tmp_path)
  assert (found["fires"][0], found["images"][0]) == known
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


@pytest.mark.parametrize("suffix", [".webp", ".cover.webp"])
def test_what_is_drawn_is_not_drawn_again_and_the_bytes_stay(suffix, tmp_path):
  calls = []
  _write(tmp_path, calls)
  assert len(calls) == 4
  before = _snapshot(tmp_path)
  (tmp_path / "images" / "block.2" / f"1{suffix}").unlink()
  _write(tmp_path, calls)
  assert calls[4:] == [("block.2", 1)]
  assert _snapshot(tmp_path) == before


@pytest.mark.parametrize("way", ["flip", "cut", "text", "empty", "swap"])
def test_a_damaged_picture_is_drawn_anew(tmp_path, way):
  _write(tmp_path, [])
  pictures = sorted((tmp_path / "images").rglob("*.webp"))
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
  picture = next((tmp_path / "images").rglob("*.webp"))
  picture.unlink()
  picture.mkdir()
  with pytest.raises(UserError, match=picture.name):
    _write(tmp_path, [])


def test_pictures_of_other_regions_are_drawn_anew(tmp_path):
  calls = []
  _write(tmp_path, calls, source="a")
  _write(tmp_path, calls, source="b", number=1)
  assert calls[4:] == [("conv/1", 0), ("block.2", 0)]
  assert not (tmp_path / "images" / "block.2" / "1.webp").exists()


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
  page.write_page(tmp_path, some, info=INFO, layers=["a"], source="a")
  found = site_data.columns(tmp_path)
  assert found["flags"].tolist() == [0, 0, 4, 0, 2, 0]
  assert found["shown"] == ["Dogs", "Cats", "<Red> & round", "Owls", "", "Bats"]
  known = [0.871, 0.4, 0.07, None, None, None]
  np.testing.assert_allclose(
    found["confidence"], np.array(known, np.float32), atol=1e-6
  )
  shown = [
    unit["description"] for _, unit in sorted(site_data.details(tmp_path).items())
  ]
  assert shown == ["Dogs", "Cats", "No clear pattern", "Owls", "Mice", "Bats"]
  data = json.loads((tmp_path / "catalog.json").read_text(encoding="utf-8"))
  assert [unit["confidence"] for unit in data["units"]] == [
    *(0.871, 0.4, 0.07, None, 0.0, None)
  ]
  assert [unit["guess"] for unit in data["units"]] == [
    *("", "", "<Red> & round", "", "", "")
  ]


@pytest.mark.parametrize(
  "name", ["images/holiday.jpg", "index.html", "catalog.json", "site/a.js"]
)
def test_files_of_the_users_own_are_left_alone(tmp_path, name):
  (tmp_path / name).parent.mkdir(exist_ok=True)
  (tmp_path / name).write_bytes(b"mine")
  with pytest.raises(
    UserError, match=f"{name.split('/a')[0]} was not written by milan-jax"
  ):
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
  counts = [layer["counts"] for layer in site_data.facts(tmp_path)["layers"]]
  assert counts == [
    {"units": 3, "described": 2, "off": 1, "withheld": 1, "dead": 0},
    {"units": 1, "described": 0, "off": 0, "withheld": 0, "dead": 1},
  ]
  found = site_data.columns(tmp_path)
  assert found["photographs"].tolist() == [9, 1, -1, -1]
  assert found["flags"].tolist() == [0, 1, 5, 2]
  data = json.loads((tmp_path / "catalog.json").read_text(encoding="utf-8"))
  assert [unit.get("photographs") for unit in data["units"]] == [9, 1, None, 4]


def test_samples_are_drawn_and_the_page_is_whole_with_them_only(tmp_path):
  calls = []

  def regions():
    calls.append("samples")
    images = np.full((2, 32, 32, 3), 200, np.uint8)
    return images, np.array([np.eye(32, dtype=bool), np.ones((32, 32), bool)])

  distribution = UnitDistribution(
    values=Bins(-0.5, 0.25, [0, 3, 0, 2, 0]),
    maxima=Bins(20000 + 5 / 32, 1 / 32, [0, 7, 0]),  # more digits than are shown
    regions=regions,
    activations=[3.00001, -1.0],
    shares=[2, 5],
    below=[False, True],
  )
  units = [
    dataclasses.replace(unit, distribution=distribution)
    for unit in _units([], layers=("conv/1",))
  ]
  page.write_page(tmp_path, units, info=INFO, layers=["conv/1"], source="a")
  assert calls == ["samples"]  # none of the dead unit
  found = site_data.details(tmp_path)
  alive, dead = found[0, 0], found[0, 1]
  assert "distribution" not in dead
  assert alive["distribution"] == {
    "values": [-0.25, 0.25, [3, 0, 2]],
    "maxima": [20000.1875, 0.03125, [7]],
    "samples": {
      "activations": [3.0, -1.0],
      "shares": [2, 5],
      "below": [False, True],
    },
  }
  table = json.loads((tmp_path / "catalog.json").read_text())
  sheet = tmp_path / table["units"][0]["samples"]
  assert "samples" not in table["units"][1]
  with Image.open(sheet) as picture:
    assert picture.size == (2 * 64 + 2, 64)
  assert page.page_is_whole(tmp_path)
  cover = sheet.with_name("0.range.cover.webp")
  with Image.open(cover) as picture:
    alpha = np.asarray(picture)[..., 3]
  # Outside the first sample's region it is dimmed; the second is shown whole.
  assert alpha[:, :64].any() and not alpha[:, 66:].any()
  cover.unlink()
  assert not page.page_is_whole(tmp_path)


@pytest.mark.parametrize(
  ("given", "name"),
  [
    ("resnet18", "resnet18"),
    ("zoo/net.onnx", "net.onnx"),
    ("one/exemplars", "resnet18"),
    ("two/exemplars", "resnet18"),  # which is a run of the exemplars of the first
    ("three/exemplars", "three"),
    ("damaged/exemplars", "damaged"),
  ],
)
def test_a_page_is_named_after_the_network(tmp_path, monkeypatch, given, name):
  monkeypatch.chdir(tmp_path)
  for run, config in {
    "one": {"model": "resnet18", "exemplars": None},
    "two": {"model": "efficientnet-lite0", "exemplars": "one/exemplars"},
  }.items():
    pathlib.Path(run).mkdir()
    pathlib.Path(run, "config.json").write_text(json.dumps({"config": config}))
  pathlib.Path("damaged").mkdir()
  pathlib.Path("damaged/config.json").write_text("{")
  assert run_page._network_name(given) == name
