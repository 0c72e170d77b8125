"""The page for annotators, as a person uses it, in headless Chromium."""

import csv
import io

import pytest

from milan_jax._src.annotation import answer_page as module
from milan_jax._src.annotation.annotation_job import annotate
from milan_jax._src.annotation.contact_sheet import PER_UNIT, WIDTH
from milan_jax._src.options.annotate import AnnotateOptions
from tests.helpers.browsing import CHROMIUM, PATIENCE, faultless, launched, serious
from tests.helpers.sheet_stores import statistics, write_store

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("page")
  write_store(folder / "secret" / "exemplars", {"unnamed": statistics(0)})
  annotate(
    AnnotateOptions.of(
      exemplars=str(folder / "secret" / "exemplars"),
      workdir=str(folder / "work"),
      num_units=5,
      units_per_sheet=3,
    )
  )
  return folder / "work"


@pytest.fixture(scope="module")
def browser():
  with launched() as found:
    yield found


@pytest.fixture
def tab(browser, folder):
  """The page, opened from disk; what goes wrong in it, or leaves it, fails the test."""
  with faultless(browser, size=(1280, 900), schemes=("file:", "blob:")) as tab:
    tab.goto((folder / "index.html").as_uri())
    yield tab


def saved(tab):
  with tab.expect_download() as waiting:
    tab.get_by_role("button", name="Save answers as CSV").click()
  assert waiting.value.suggested_filename == "answers.csv"
  return waiting.value.path()


def rows(path):
  return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_answers_are_kept_saved_and_read(tab, folder, tmp_path, capsys):
  box = tab.locator("#answer")
  assert "Sheet 1, A: unit 1 of 5; 0 described" in tab.inner_text("#progress")
  box.fill('round "things",\nand wheels')
  tab.wait_for_timeout(300)
  box.press("Enter")  # the next unit
  assert "Sheet 1, B: unit 2 of 5; 1 described" in tab.inner_text("#progress")
  tab.get_by_role("button", name="Nothing in common").click()
  tab.locator("#place").select_option(label="Sheet 2, B")
  assert tab.locator("#next").is_disabled()
  box.fill("dogs")
  tab.reload()  # what was written is kept, and so is the place
  assert box.input_value() == "dogs"
  assert "unit 5 of 5; 3 described" in tab.inner_text("#progress")
  tab.get_by_role("button", name="Back").click()
  assert box.input_value() == ""
  path = saved(tab)
  assert "2 units are not described yet" in tab.inner_text("#said")
  found = rows(path)
  assert [(row["sheet"], row["letter"], row["summary"]) for row in found] == [
    ("1", "A", 'round "things", and wheels'),
    ("1", "B", module.NOTHING),
    ("1", "C", ""),
    ("2", "A", ""),
    ("2", "B", "dogs"),
  ]
  assert 0.3 <= float(found[0]["seconds"]) < PATIENCE and found[2]["seconds"] == "0.0"
  annotate(
    AnnotateOptions.of(
      read=str(path),
      key=str(folder / "key.csv"),
      out=str(tmp_path / "said.csv"),
      min_seconds=0.0,
    )
  )
  assert "3 descriptions of 3 of 5 units" in capsys.readouterr().out


def test_the_window_shows_one_unit_of_its_sheet(tab):
  window = tab.locator("#picture").bounding_box()
  for label, row, file in (
    ("Sheet 1, A", 0, "sheets/001.png"),
    ("Sheet 1, C", 2, "sheets/001.png"),
    ("Sheet 2, B", 1, "sheets/002.png"),
  ):
    tab.locator("#place").select_option(label=label)
    image = tab.locator("#picture img")
    assert image.get_attribute("src") == file
    tab.wait_for_function("document.querySelector('#picture img').naturalWidth")
    box = image.bounding_box()
    scale = box["width"] / WIDTH
    above = (window["y"] - box["y"]) / scale
    assert above == pytest.approx(module.HEADER + row * PER_UNIT, abs=3)
  assert window["height"] / window["width"] == pytest.approx(
    (PER_UNIT - module.GAP) / WIDTH, abs=0.01
  )


def test_no_unit_is_named_and_axe_finds_nothing_serious(tab, folder):
  page = (folder / "index.html").read_text(encoding="utf-8")
  assert "secret" not in page and "unnamed" not in page
  assert serious(tab) == []
