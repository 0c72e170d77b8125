"""The catalog's other views in headless Chromium: layers, comparison, theme, keys."""

import html
import pathlib
import re
import urllib.parse

import pytest

from milan_jax._src.catalog.word_kinds import kinds_of, names_of
from tests.catalog.two_networks import EVIL, FEW, SAMPLES, UNITS
from tests.helpers.browsing import (
  CHROMIUM,
  TELEPHONE,
  counted,
  opened,
  tab_to,
  until,
)

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_keys_of_views_and_theme(tab):
  press = tab.keyboard.press
  for key, name in (("l", "layers"), ("c", "compare"), ("a", "about")):
    press(key)
    playwright.expect(tab.locator(f"#{name}-title")).to_be_focused()
    current = tab.locator(".views [aria-current]")
    assert current.get_attribute("data-view") == name
  press("u")
  playwright.expect(tab.locator("#view-units")).to_be_visible()
  press("l")
  press("Escape")
  playwright.expect(tab.locator("#view-units")).to_be_visible()
  press("l")
  press("/")
  playwright.expect(tab.locator("#query")).to_be_focused()
  tab.evaluate("document.activeElement.blur()")
  theme = "document.documentElement.dataset.theme"
  paper = "getComputedStyle(document.body).backgroundColor"
  seen = []
  for _ in range(3):
    press("t")
    seen.append((tab.evaluate(theme), tab.evaluate(paper)))
  light, dark = "rgb(250, 249, 246)", "rgb(21, 20, 18)"
  assert seen == [("light", light), ("dark", dark), (None, light)]
  press("?")
  dialog = tab.locator("#keys")
  playwright.expect(dialog).to_be_visible()
  press("l")  # not behind the dialog
  playwright.expect(tab.locator("#view-units")).to_be_visible()
  press("Escape")
  playwright.expect(dialog).to_be_hidden()


def test_filters_layers_and_comparison_with_the_keyboard_alone(tab):
  press = tab.keyboard.press
  press("/")
  tab.keyboard.type("red flowers")
  tab_to(tab, "select[name=by]")
  press("ArrowDown")
  counted(tab, "nearest in meaning first")
  press("Home")
  tab_to(tab, "input[type=search]", back=True)
  press("Escape")
  counted(tab, "498 units")
  tab_to(tab, "select[name=sort]")
  first = tab.locator("ul.cards .where").first
  press("End")  # description, from A
  playwright.expect(first).not_to_have_text("First network: conv/1, unit 0")
  press("Home")
  tab_to(tab, "button.up")
  press("Enter")
  playwright.expect(first).to_have_text(f"{EVIL}: {EVIL}, unit {FEW - 1}")
  press("Enter")
  playwright.expect(first).to_have_text("First network: conv/1, unit 0")
  tab_to(tab, "select[name=network]", back=True)
  press("ArrowDown")
  counted(tab, "249 of 498 units")
  press("Home")
  for name, fits in {
    "layer": lambda value, place: place % (SAMPLES + FEW) < SAMPLES,
    "state": lambda value, place: UNITS[place][2] == value,
    "sign": lambda value, place: UNITS[place][0] != 7,
    "kind": lambda value, place: value in names_of(kinds_of(UNITS[place][1])),
  }.items():
    tab_to(tab, f"select[name={name}]")
    press("ArrowDown")
    value = tab.evaluate("document.activeElement.value")
    expected = sum(fits(value, place) for place in range(len(UNITS)))
    assert 0 < expected < len(UNITS)
    counted(tab, f"{expected} of 498 units")
    press("Home")
    counted(tab, "498 units")
  tab_to(tab, "select[name=network]", back=True)
  press("ArrowDown")
  tab_to(tab, "input[name=confidence]")
  press("End")  # 95% or more
  sure = sum(index % 100 >= 95 for index, _, state in UNITS[:249] if state != "dead")
  counted(tab, f"{sure} of 498 units")
  tab_to(tab, "button.reset")
  press("Enter")
  counted(tab, "498 units")
  playwright.expect(tab.locator("#query")).to_be_focused()

  tab_to(tab, "ul.cards a.card")
  press("l")
  tab_to(tab, "canvas.mosaic")
  tip = tab.locator(".tip").first
  playwright.expect(tip).to_have_text("First network: conv/1, unit 0: Red flowers")
  for key, unit in (("ArrowRight", 1), ("ArrowLeft", 0), ("ArrowLeft", 0)):
    press(key)
    playwright.expect(tip).to_contain_text(f"conv/1, unit {unit}:")
  press("End")
  playwright.expect(tip).to_contain_text(f"{EVIL}, unit {FEW - 1}: Never varies")
  press("ArrowUp")
  playwright.expect(tip).to_contain_text("conv/1, unit ")
  press("ArrowDown")
  playwright.expect(tip).to_contain_text(f"{EVIL}, unit ")
  press("Home")
  press("Enter")
  playwright.expect(tab.locator("#view-unit h2")).to_have_text("Red flowers")

  press("c")
  tab_to(tab, "select[name=b]")
  press("ArrowDown")
  view = tab.locator("#view-compare")
  playwright.expect(view).to_contain_text(f"Only in {EVIL}: {EVIL}")
  # What is chosen keeps the focus.
  playwright.expect(tab.locator("select[name=b]")).to_be_focused()
  press("ArrowUp")
  playwright.expect(view).to_contain_text("Unit by unit")
  tab_to(tab, "select[name=a]", back=True)
  press("ArrowDown")
  playwright.expect(view).to_contain_text(f"Only in First network: {EVIL}")
  playwright.expect(tab.locator("select[name=a]")).to_be_focused()


def test_what_is_searched_stays_when_the_header_is_skipped(tab):
  tab.fill("#query", "tulips")
  counted(tab, "4 of 498 units")
  for view in ("#/?q=tulips", "#/layers"):
    tab.evaluate("(view) => { location.hash = view; }", view)
    tab_to(tab, "a.skip", back=True)
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    assert tab.evaluate("location.hash") == view
  tab.keyboard.press("u")
  counted(tab, "4 of 498 units")


def test_theme_and_keys_by_their_buttons_without_a_mouse(tab):
  tab_to(tab, "#theme-button")
  tab.keyboard.press("Enter")
  assert tab.evaluate("document.documentElement.dataset.theme") == "light"
  tab_to(tab, "#keys-button", back=True)
  tab.keyboard.press("Enter")
  dialog = tab.locator("#keys")
  playwright.expect(dialog).to_be_visible()
  tab_to(tab, "#keys-close")
  tab.keyboard.press("Enter")
  playwright.expect(dialog).to_be_hidden()
  playwright.expect(tab.locator("#keys-button")).to_be_focused()


def test_the_keys_are_listed(site):
  """In the page and in docs/catalog.md, and these are the keys that the tests press."""
  tested = {"/", "Home", "End", "Page Up", "Page Down", "Enter", "Esc", "?", "Tab"}
  tested |= {*"jkrihulcat", *"←→↑↓"}
  listed = re.findall(r"<kbd>(.+?)</kbd>", site.read_text(encoding="utf-8"))
  assert {html.unescape(key) for key in listed} == tested
  text = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
  table = text[text.index("| key | action |") :].split("\n\n")[0]
  keys = re.findall(
    r"`(.)`|(Home|End|Page Up|Page Down|Enter|Esc|Tab)(?=[,; |])", table
  )
  assert {one or other for one, other in keys} | {*"←→↑↓"} == tested
  assert "arrows" in table


def test_html_is_shown_as_text_everywhere(tab):
  """In descriptions, annotations and names of networks, layers, files and sources."""
  evil = urllib.parse.quote(EVIL, safe="")
  both = f"a=one%2F{evil}&b=two%2F{evil}"
  views = {
    "#/?q=alert": 4,  # descriptions and layers of the cards that are seen
    f"#/unit/two/{evil}/5": 4,  # description, hypothesis, layer and network
    "#/unit/one/conv%2F1/0": 3,  # annotation, and another's description and name
    "#/layers": 6,  # the networks' headings and tables, and the layers' names
    f"#/compare?{both}": 6,  # names, shared descriptions, and unit by unit
    "#/about": 6,  # facts and notes
    f"#/unit/one/{evil}/none": 1,  # no such unit
  }
  for view, least in views.items():
    tab.goto(tab.address + view)
    section = tab.locator("main > section:visible")
    playwright.expect(section).to_contain_text(EVIL)
    # What is related to a unit is added when all is loaded.
    until(
      tab, f"document.querySelector('main').innerText.split({EVIL!r}).length > {least}"
    )
    assert EVIL in tab.locator("h1").inner_text()
    # In one call: the page's own scripts leave its head as soon as they have run.
    assert not tab.evaluate("document.body.querySelectorAll('script').length"), view


def test_what_a_screen_reader_is_told(tab):
  """Roles, names and what is read out when it changes, as the browser computes them."""
  tools = tab.get_by_role("search")
  search = tools.get_by_role("searchbox", name="Search descriptions")
  tree = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")
  (node,) = (n for n in tree["nodes"] if n["role"]["value"] == "searchbox")
  assert node["description"]["value"] == "498 units"
  slider = tools.get_by_role("slider", name="Confidence")
  slider.press("End")
  playwright.expect(slider).to_have_attribute("aria-valuetext", "95% or more")
  slider.press("Home")
  playwright.expect(slider).to_have_attribute("aria-valuetext", "any")
  status = tab.get_by_role("status").filter(has_text="498 units")
  playwright.expect(status).to_have_attribute("aria-live", "polite")
  tab.evaluate("window.region = document.getElementById('count')")
  search.fill("tulips")
  counted(tab, "4 of 498 units")
  # The same element: only what changes in it is read out.
  assert tab.evaluate("window.region === document.getElementById('count')")
  items = tab.get_by_role("list", name="Units that fit").get_by_role("listitem")
  assert items.count() == 4
  link = items.first.get_by_role("link")
  # The unit once, and its picture not as a picture.
  playwright.expect(link).to_have_accessible_name(
    "First network: conv/1, unit 0 Red flowers confidence <1% fires on 1 of 400 images"
  )
  link.press("Enter")
  playwright.expect(tab.get_by_role("heading", name="Red flowers")).to_be_focused()
  regions = tab.get_by_role("list", name="Regions, best first")
  tile = regions.get_by_role("button", name="Region 1, activation 9", pressed=False)
  tile.press("Enter")
  tile = regions.get_by_role("button", name="Region 1, activation 9", pressed=True)
  playwright.expect(tile).to_be_focused()
  tab.keyboard.press("l")
  playwright.expect(
    tab.get_by_role("heading", name="Layers", exact=True)
  ).to_be_focused()
  assert tab.title().startswith("Layers · ")
  # The keys go to the picture, not to the screen reader.
  picture = tab.get_by_role("application", name="Every unit as a cell").first
  picture.focus()
  tip = tab.locator(".tip").first
  playwright.expect(tip).to_have_attribute("aria-live", "polite")
  tab.keyboard.press("c")
  summary = tab.locator("#view-compare").get_by_role("status")
  playwright.expect(summary).to_have_text(
    f"1 of {SAMPLES} units have the same description. 5 descriptions are in both, "
    "1 only in First network: conv/1, "
    f"1 only in {EVIL}: conv/1."
  )


def test_layers_and_comparison(tab):
  tab.goto(tab.address + "#/layers")
  cards = tab.locator(".layer-card")
  playwright.expect(cards).to_have_count(4)
  playwright.expect(cards.first).to_contain_text("color")
  playwright.expect(tab.locator("canvas.mosaic")).to_have_count(2)
  tab.goto(tab.address + "#/compare?a=one%2Fconv%2F1&b=two%2Fconv%2F1")
  view = tab.locator("#view-compare")
  playwright.expect(view).to_contain_text("Unit by unit")
  # Shifted by one text, only dead units and none of the others agree.
  playwright.expect(view).to_contain_text(f"1 of {SAMPLES} units have the same")
  playwright.expect(view).to_contain_text("Shared descriptions: 5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_it_whole(browser, site, scheme):
  with opened(browser, site, size=TELEPHONE, color_scheme=scheme) as tab:
    for view in ("#/", "#/unit/one/conv%2F1/0", "#/layers", "#/compare", "#/about"):
      tab.goto(tab.address + view)
      tab.wait_for_timeout(100)
      width = tab.evaluate("document.documentElement.scrollWidth")
      assert width <= TELEPHONE[0], view
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(250, 249, 246)", "dark": "rgb(21, 20, 18)"}[scheme]


def test_every_sort_of_unit_has_its_color(tab):
  tab.goto(tab.address + "#/layers")
  playwright.expect(tab.locator("canvas.mosaic")).to_have_count(2)
  legend = tab.locator("ul.legend").first.locator("li")
  colors = dict(
    zip(
      legend.all_inner_texts(),
      legend.locator(".swatch").evaluate_all(
        "all => all.map((each) => getComputedStyle(each).backgroundColor)"
      ),
      strict=True,
    )
  )
  assert len(set(colors.values())) == len(colors)
  # The first line of the first layer: a cell is less than 14 pixels wide.
  cells = tab.evaluate(
    """() => {
      const canvas = document.querySelector("canvas.mosaic");
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      const found = {};
      for (let at = 0; at < data.length; at += 4) {
        const color = `rgb(${data[at]}, ${data[at + 1]}, ${data[at + 2]})`;
        if (data[at + 3] === 255) found[color] = (found[color] ?? 0) + 1;
      }
      return found;
    }"""
  )
  first = UNITS[: SAMPLES + FEW]
  kinds = {
    "Red flowers": "plant",
    "Green leaves of plants": "plant",
    "Dogs with floppy ears": "animal",
    "Cats and dogs": "animal",
    "Blue sky": "place",
    EVIL: "thing",
    "Wooden doors": "place",
  }
  expected = {}
  for _, text, state in first:
    name = kinds[text] if state == "described" else state
    expected[name] = expected.get(name, 0) + 1
  cell = cells[colors["dead"]] / expected["dead"]
  assert cell >= 4
  assert {name: cells[colors[name]] / cell for name in expected} == expected
  # None of these has no kind of word.
  assert colors["no kind of word"] not in cells
