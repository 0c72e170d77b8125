"""The catalog of a tiny run as a person uses it, in headless Chromium."""

import html
import pathlib
import re

import numpy as np
import pytest

from milan_jax._src.catalog import page, site_data
from milan_jax._src.catalog.distributions import Bins, UnitDistribution
from milan_jax._src.catalog.word_kinds import kinds_of, names_of
from milan_jax._src.records import Hypothesis, Unit
from tests.helpers.browsing import (
  CHROMIUM,
  TELEPHONE,
  counted,
  launched,
  opened,
  texts,
  until,
)

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
ROOT = pathlib.Path(__file__).resolve().parents[2]

EVIL = "<script>alert(1)</script>"
TEXTS = [
  "Red flowers",
  "Green leaves of plants",
  "Dogs with floppy ears",
  "Cats and dogs",
  "Blue sky",
  EVIL,
  "Red flowers",
  "Wooden doors",
]
SAMPLES, FEW = 240, 9
# The second layer's images are twice as wide as high.
SHAPES = {"conv/1": (16, 16), EVIL: (8, 16)}
# Of 400 images, 396 are below the threshold of 4.5.
DISTRIBUTION = UnitDistribution(
  values=Bins(-1.0, 0.5, [0, 0, 700, 90, 0, 0, 5, 0, 0, 4, 0, 1, 0]),
  maxima=Bins(0.0, 1.0, [300, 90, 6, 0, 0, 3, 0, 0, 1]),
  regions=lambda: (np.full((3, 16, 16, 3), 90, np.uint8), np.ones((3, 16, 16), bool)),
  activations=[8.25, 5.5, 0.5],
  shares=[1, 3, 396],
  below=[False, False, True],
  names=["a.jpg", EVIL, "c.jpg"],
)


def _units(layer, number, shift=0):
  rng = np.random.default_rng(number)
  height, width = SHAPES[layer]

  def regions():
    images = rng.integers(0, 255, (15, height, width, 3), np.uint8)
    return images, images[..., 0] > 128

  for index in range(number):
    text = TEXTS[(index + shift) % len(TEXTS)]
    withheld = index % 8 == 4
    yield page.PageUnit(
      Unit(layer, index, "off" if index == 7 else "on"),
      "No clear pattern" if withheld else text,
      regions,
      scores={
        "score": -float(index),
        "log p(text | regions)": -2.0,
        "log p(text)": -5.0,
      },
      dead=index == number - 1,
      confidence=(index % 100) / 100,
      guess=text if withheld else "",
      fires=(index + 1, 400),
      activations=np.linspace(9, 5, 15).tolist(),
      threshold=4.5,
      names=[f"{EVIL}{place}.jpg" for place in range(15)],
      maps=lambda: np.arange(15 * 49, dtype=np.float32).reshape(15, 7, 7),
      image_shape=(height, width),
      features=lambda index=index: np.array([index + 1.0, index % 8, 1], np.float32),
      annotations=("A bed of tulips",) if index == 0 else (),
      others={"elsewhere": "petals"} if index == 0 else {},
      distribution=DISTRIBUTION if index == 0 else None,
      hypotheses=(
        Hypothesis(text, -1.0, -2.0, -9.0),
        Hypothesis("Things", -1.5, -1.0, -3.0),
      ),
    )


# Number, text and whether withheld or dead of every unit, by hand.
UNITS = [
  (
    index,
    "" if index == number - 1 else TEXTS[(index + shift) % len(TEXTS)],
    "dead" if index == number - 1 else "withheld" if index % 8 == 4 else "described",
  )
  for turn in (0, 1)
  for number, shift in ((SAMPLES, turn), (FEW, 0))
  for index in range(number)
]


def _number(fits):
  return sum(map(bool, (fits(*unit) for unit in UNITS)))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  """A catalog of two networks; the vectors are made by hand."""
  vectors = {text: [100, place, 0] for place, text in enumerate(TEXTS)}
  vectors |= {"Red flowers": [0, 0, 100], "Green leaves of plants": [0, 30, 90]}

  def meanings(texts):
    return np.array([vectors.get(text, [0, 100, 0]) for text in texts], np.int8)

  folder = tmp_path_factory.mktemp("site")
  networks = [
    page.Network(
      page.PageInfo(name, name, "16 images", facts={"Images": EVIL}),
      ("conv/1", EVIL),
      [*_units("conv/1", SAMPLES, shift), *_units(EVIL, FEW)],
      "a",
      key,
    )
    for key, name, shift in (("one", "First network", 0), ("two", EVIL, 1))
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(site_data, "meanings", meanings)
    return page.write_site(folder, "Two networks", networks)


@pytest.fixture(scope="module")
def browser():
  with launched() as found:
    yield found


@pytest.fixture
def tab(browser, site):
  with opened(browser, site) as tab:
    counted(tab, f"{len(UNITS)} units")
    yield tab


def test_search_by_words(tab):
  tab.fill("#query", "flow")
  # Those that are withheld are found too.
  expected = _number(lambda index, text, state: text == "Red flowers")
  counted(tab, f"{expected} of 498 units")
  assert set(texts(tab)) <= {"Red flowers", "off: Red flowers"}
  tab.fill("#query", "dogs cat")
  assert "Cats and dogs" in texts(tab)[0]
  tab.fill("#query", "sky")
  counted(tab, f"{_number(lambda i, text, s: text == 'Blue sky')} of 498 units")
  assert "Blue sky" in texts(tab)[0]
  tab.fill("#query", "tulips")
  counted(tab, "4 of 498 units")
  tab.fill("#query", "conv 12")
  counted(tab, "2 of 498 units")
  tab.fill("#query", "nothing like this")
  counted(tab, "0 of 498 units")
  playwright.expect(tab.locator(".nothing")).to_be_visible()


def test_search_by_meaning(tab):
  tab.select_option("select[name=by]", "meaning")
  tab.fill("#query", "red flowers")
  counted(tab, "nearest in meaning first")
  said = texts(tab)
  kinds = list(dict.fromkeys(text.removeprefix("off: ") for text in said))
  assert kinds[0] == "Red flowers"
  tab.fill("#query", "leaves")
  counted(tab, "nearest to the descriptions with these words first")
  assert texts(tab)[0] == "Green leaves of plants"
  tab.fill("#query", "unheard")
  counted(tab, "0 of 498 units: no description has these words")


def test_filters_and_order(tab):
  def total(choice, value, expected):
    tab.select_option(f"select[name={choice}]", value)
    counted(tab, expected)
    tab.select_option(f"select[name={choice}]", "")

  total("network", "two", "249 of 498")
  total("layer", EVIL, "18 of 498")
  total("state", "dead", "4 of 498")
  total("sign", "off", "4 of 498")
  total("state", "withheld", f"{2 * (SAMPLES // 8 + 1)} of 498")
  animals = _number(lambda i, text, s: "animal" in names_of(kinds_of(text)))
  assert animals == _number(lambda i, text, s: "ogs" in text)
  total("kind", "animal", f"{animals} of 498")
  tab.locator("input[name=confidence]").fill("90")
  sure = _number(lambda index, text, state: state != "dead" and index % 100 >= 90)
  counted(tab, f"{sure} of 498")
  assert "confidence=90" in tab.url
  tab.click("text=Clear >> visible=true")
  tab.select_option("select[name=layer]", "conv/1")
  tab.select_option("select[name=sort]", label="score")
  first = tab.locator("ul.cards .where").first
  playwright.expect(first).to_have_text("conv/1, unit 0")
  tab.click("button.up")
  playwright.expect(first).to_have_text(f"conv/1, unit {SAMPLES - 1}")
  tab.select_option("select[name=sort]", label="description, from A")
  tab.click("button.up")
  playwright.expect(tab.locator("ul.cards .text").first).to_contain_text(EVIL)
  tab.click("button.up")
  tab.select_option("select[name=sort]", label="confidence")
  tab.click("button.up")
  playwright.expect(first).to_have_text("conv/1, unit 99")


def test_a_units_page_and_its_link(tab):
  tab.goto(tab.address + "#/unit/one/conv%2F1/0")
  view = tab.locator("#view-unit")
  playwright.expect(view.locator("h2")).to_have_text("Red flowers")
  assert view.locator(".tiles .tile").count() == 15
  label = view.locator(".tile").nth(1).get_attribute("aria-label")
  assert label == f"Region 2, activation 8.71, {EVIL}1.jpg"
  for words in ("A bed of tulips", "petals", "fires on 1 of 400", "threshold 4.5"):
    playwright.expect(view).to_contain_text(words)
  rows = view.locator(".hypotheses tbody tr")
  assert rows.count() == 2
  playwright.expect(rows.nth(0)).to_contain_text("most informative")
  playwright.expect(rows.nth(1)).to_contain_text("most likely")
  playwright.expect(view).to_contain_text("The same description")
  playwright.expect(view).to_contain_text("Nearest regions")
  over = view.locator(".tile .over").first
  assert over.evaluate("e => getComputedStyle(e).opacity") == "1"
  view.locator(".tile").first.hover()
  until(tab, "getComputedStyle(document.querySelector('.tile .over')).opacity === '0'")
  sheet = tab.evaluate(
    "getComputedStyle(document.querySelector('.tile .whole')).backgroundImage"
  )
  assert sheet.endswith('images/one/conv%252F1/0.webp")')
  tab.goto(tab.address + "#/unit/one/conv%2F1/7-off")
  playwright.expect(view.locator("h2")).to_contain_text("off:")
  # Without the sign, what lowers it is shown, because nothing else is known of it.
  tab.goto(tab.address + "#/unit/one/conv%2F1/7")
  playwright.expect(view.locator("h2")).to_contain_text("off:")
  tab.goto(tab.address + "#/unit/one/none/3")
  playwright.expect(view.locator("h2")).to_have_text("There is no such unit")


def test_the_distribution_of_a_units_activations(tab):
  tab.goto(tab.address + "#/unit/one/conv%2F1/0")
  view = tab.locator("#view-unit")
  playwright.expect(view.locator("h2")).to_have_text("Red flowers")
  label = view.locator("svg.range").get_attribute("aria-label")
  assert label.startswith(
    "Activations: 800, from 0 to 5, half of them below 0.5. Maximum on each image: "
    "400, from 0 to 9, half of them below 1. The images shown are at "
  )
  assert view.locator("svg.range .bin").count() == 5 + 5
  # The axis is 304 units long, from 0 to 9.
  threshold = float(view.locator("svg.range .threshold").get_attribute("x1"))
  assert threshold == pytest.approx(8 + 304 * 4.5 / 9)
  samples = view.locator(".samples .tile")
  assert samples.evaluate_all("all => all.map(e => e.getAttribute('aria-label'))") == [
    "Sample 1, activation 8.25, from an interval with 0.3% of images, a.jpg",
    f"Sample 2, activation 5.5, from an interval with 0.8% of images, {EVIL}",
    "Sample 3, activation 0.5, from an interval with 99% of images, below the "
    "threshold, c.jpg",
  ]
  assert _loads(tab, ".samples .whole").endswith('/one/conv%252F1/0.range.webp")')
  tab.goto(tab.address + "#/unit/one/conv%2F1/1")
  playwright.expect(view).to_contain_text("did not store the histogram")
  assert view.locator(".samples").count() == 0


def _loads(tab, selector):
  """The picture behind an element, once it is loaded."""
  image = tab.locator(selector).first.evaluate(
    "e => getComputedStyle(e).backgroundImage"
  )
  loaded = tab.evaluate(
    """async (address) => {
      const image = new Image();
      image.src = address;
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }""",
    image.removeprefix('url("').removesuffix('")'),
  )
  assert loaded == [3 * 66 - 2, 64]
  return image


FOCUSED = "document.activeElement.closest('li')?.getAttribute('aria-posinset')"


def _tab_to(tab, selector, *, back=False):
  """Presses Tab until what is wanted has the focus."""
  for _ in range(60):
    if tab.evaluate("(what) => document.activeElement.matches(what)", selector):
      return
    tab.keyboard.press("Shift+Tab" if back else "Tab")
  raise AssertionError(f"Tab does not lead to {selector}")


def test_keys_of_the_list(tab):
  press = tab.keyboard.press
  press("/")
  playwright.expect(tab.locator("#query")).to_be_focused()
  tab.keyboard.type("wooden jkt")
  counted(tab, "0 of 498 units")
  assert "theme" not in tab.evaluate("Object.keys(document.documentElement.dataset)")
  press("Escape")
  counted(tab, "498 units")
  assert tab.input_value("#query") == ""
  tab.keyboard.type("wooden")
  doors = _number(lambda i, text, s: text == "Wooden doors")
  counted(tab, f"{doors} of 498 units")

  def at(key, expected):
    press(key)
    assert tab.evaluate(FOCUSED) == str(expected), key

  at("ArrowDown", 1)
  at("ArrowRight", 2)
  at("ArrowLeft", 1)
  columns = tab.evaluate(
    "(() => { const tops = [...document.querySelectorAll('ul.cards li')]"
    ".map((each) => Math.round(each.getBoundingClientRect().top));"
    " return tops.filter((top) => top === tops[0]).length; })()"
  )
  assert columns > 1
  at("ArrowDown", 1 + columns)
  at("ArrowUp", 1)
  at("PageDown", 1 + 3 * columns)
  at("PageDown", 1 + 6 * columns)
  at("PageUp", 1 + 3 * columns)
  at("End", doors)
  at("PageDown", doors)
  at("Home", 1)
  at("PageUp", 1)
  press("ArrowUp")
  playwright.expect(tab.locator("#query")).to_be_focused()
  # On the list, the keys of a unit's page do nothing, also later.
  press("ArrowDown")
  press("j")
  press("h")
  press("Enter")
  view = tab.locator("#view-unit")
  playwright.expect(view.locator(".steps")).to_contain_text(f"1 of {doors}")
  playwright.expect(view.locator(".tiles.regions")).to_be_visible()


def test_keys_of_a_units_page(tab):
  press = tab.keyboard.press
  tab.fill("#query", "wooden")
  doors = _number(lambda i, text, s: text == "Wooden doors")
  counted(tab, f"{doors} of 498 units")
  press("ArrowDown")
  press("Enter")
  view = tab.locator("#view-unit")
  heading, steps = view.locator("h2"), view.locator(".steps")
  playwright.expect(heading).to_be_focused()
  press("j")
  press("j")
  playwright.expect(steps).to_contain_text(f"3 of {doors}")
  press("k")
  playwright.expect(steps).to_contain_text(f"2 of {doors}")
  for key, name in (("h", "heat"), ("i", "images"), ("r", "regions")):
    press(key)
    playwright.expect(view.locator(f".tiles.{name}")).to_be_visible()
  # Tab goes from region to region and shows the whole image of each.
  over = "getComputedStyle(document.querySelectorAll('.tile .over')[1]).opacity"
  until(tab, f"{over} === '1'")
  _tab_to(tab, "li:nth-child(2) > .tile")
  until(tab, f"{over} === '0'")
  # By Tab also to the modes, which the arrow keys change, and to related units.
  _tab_to(tab, "input[name=mode]", back=True)
  press("ArrowRight")
  playwright.expect(view.locator(".tiles.images")).to_be_visible()
  playwright.expect(view.locator("a.mention").first).to_be_visible()
  _tab_to(tab, "a.mention")
  link = tab.evaluate("document.activeElement.hash")
  press("Enter")
  until(tab, f"location.hash === {link!r}")
  press("Escape")
  playwright.expect(tab.locator("#view-units")).to_be_visible()
  until(tab, "document.activeElement.matches('a.card')")
  counted(tab, f"{doors} of 498 units")


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
  _tab_to(tab, "select[name=network]")
  press("ArrowDown")
  counted(tab, "249 of 498 units")
  _tab_to(tab, "input[name=confidence]")
  press("End")  # 95% or more
  sure = sum(index % 100 >= 95 for index, _, state in UNITS[:249] if state != "dead")
  counted(tab, f"{sure} of 498 units")
  _tab_to(tab, "button.reset")
  press("Enter")
  counted(tab, "498 units")
  playwright.expect(tab.locator("#query")).to_be_focused()

  _tab_to(tab, "ul.cards a.card")
  press("l")
  _tab_to(tab, "canvas.mosaic")
  tip = tab.locator(".tip").first
  playwright.expect(tip).to_have_text("conv/1, unit 0: Red flowers")
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
  _tab_to(tab, "select[name=b]")
  press("ArrowDown")
  view = tab.locator("#view-compare")
  playwright.expect(view).to_contain_text(f"Only in {EVIL}: {EVIL}")
  # What is chosen keeps the focus.
  playwright.expect(tab.locator("select[name=b]")).to_be_focused()
  press("ArrowUp")
  playwright.expect(view).to_contain_text("Unit by unit")


def test_the_keys_are_listed(site):
  """In the page and in docs/catalog.md, and these are the keys tested above."""
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


def test_a_heat_map_lies_on_its_image(tab):
  def shares(view):
    tab.goto(tab.address + view)
    tab.reload()  # so that the tiles are not those of the unit before
    playwright.expect(tab.locator(".tile .heat")).to_have_count(15)
    boxes = [tab.locator(f".tile {each}").first for each in (".heat", ".whole")]
    heat, tile = (each.bounding_box() for each in boxes)
    return [
      (heat["x"] - tile["x"]) / tile["width"],
      (heat["y"] - tile["y"]) / tile["height"],
      heat["width"] / tile["width"],
      heat["height"] / tile["height"],
    ]

  whole = shares("#/unit/one/conv%2F1/0")
  np.testing.assert_allclose(whole, [0, 0, 1, 1], atol=0.01)
  evil = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
  half = shares(f"#/unit/one/{evil}/0")
  np.testing.assert_allclose(half, [0, 0.25, 1, 0.5], atol=0.01)


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


def test_only_what_is_seen_is_in_the_page(tab):
  assert tab.locator("ul.cards li").count() < 40
  tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
  until(
    tab, "[...document.querySelectorAll('ul.cards li')].at(-1).ariaPosInSet === '498'"
  )
  assert tab.locator("ul.cards li").count() < 40
