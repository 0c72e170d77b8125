"""The catalog of a tiny run as a person uses it, in headless Chromium."""

import pathlib
import shutil

import numpy as np
import pytest

from milan_jax._src.catalog import page, site_data
from milan_jax._src.records import Hypothesis, Unit

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

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
SAMPLES = 240


def _units(layer, number, shift=0):
  rng = np.random.default_rng(number)

  def regions():
    images = rng.integers(0, 255, (15, 16, 16, 3), np.uint8)
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
      features=lambda index=index: np.array([index + 1.0, index % 8, 1], np.float32),
      annotations=("A bed of tulips",) if index == 0 else (),
      others={"elsewhere": "petals"} if index == 0 else {},
      hypotheses=(
        Hypothesis(text, -1.0, -2.0, -9.0),
        Hypothesis("Things", -1.5, -1.0, -3.0),
      ),
    )


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
      [*_units("conv/1", SAMPLES, shift), *_units(EVIL, 9)],
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
  with playwright.sync_playwright() as driver:
    found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield found
    found.close()


@pytest.fixture
def tab(browser, site):
  """The catalog, opened from disk; what goes wrong in it fails the test."""
  context = browser.new_context(viewport={"width": 1280, "height": 900})
  tab = context.new_page()
  tab.set_default_timeout(30_000)
  faults = []
  tab.on("pageerror", lambda error: faults.append(str(error)))
  tab.on(
    "console", lambda line: faults.append(line.text) if line.type == "error" else 0
  )
  tab.on("dialog", lambda dialog: faults.append("a script ran") or dialog.dismiss())
  tab.address = pathlib.Path(site).as_uri()
  tab.goto(tab.address)
  _counted(tab, "498 units")
  yield tab
  context.close()
  assert not faults, "\n".join(faults)


def _counted(tab, text):
  playwright.expect(tab.locator("#count")).to_contain_text(text)


def _until(tab, expression):
  """Waits; the page's policy forbids what `wait_for_function` does."""
  for _ in range(600):
    if tab.evaluate(expression):
      return
    tab.wait_for_timeout(50)
  raise AssertionError(f"never true: {expression}")


def _said(tab):
  return tab.locator("ul.cards .text > :nth-child(2)").all_inner_texts()


def test_search_by_words(tab):
  tab.fill("#query", "flow")
  # The first and the seventh of eight texts, and those that are withheld are found too.
  expected = sum(
    TEXTS[(i + shift) % 8] == "Red flowers"
    for shift, number in ((0, SAMPLES), (1, SAMPLES), (0, 9), (0, 9))
    for i in range(number - 1)
  )
  _counted(tab, f"{expected} of 498 units")
  assert set(_said(tab)) <= {"Red flowers", "off: Red flowers"}
  tab.fill("#query", "dogs cat")
  assert "Cats and dogs" in _said(tab)[0]
  tab.fill("#query", "sky")
  _counted(tab, "of 498")
  assert "Blue sky" in _said(tab)[0]
  tab.fill("#query", "tulips")
  _counted(tab, "4 of 498 units")
  tab.fill("#query", "conv 12")
  _counted(tab, "2 of 498 units")
  tab.fill("#query", "nothing like this")
  _counted(tab, "0 of 498 units")
  playwright.expect(tab.locator(".nothing")).to_be_visible()


def test_search_by_meaning(tab):
  tab.select_option("select[name=by]", "meaning")
  tab.fill("#query", "red flowers")
  _counted(tab, "nearest in meaning first")
  said = _said(tab)
  kinds = list(dict.fromkeys(text.removeprefix("off: ") for text in said))
  assert kinds[0] == "Red flowers"
  tab.fill("#query", "leaves")
  _counted(tab, "nearest to the descriptions with these words first")
  assert _said(tab)[0] == "Green leaves of plants"
  tab.fill("#query", "unheard")
  _counted(tab, "0 of 498 units: no description has these words")


def test_filters_and_order(tab):
  def total(choice, value, expected):
    tab.select_option(f"select[name={choice}]", value)
    _counted(tab, expected)
    tab.select_option(f"select[name={choice}]", "")

  total("network", "two", "249 of 498")
  total("layer", EVIL, "18 of 498")
  total("state", "dead", "4 of 498")
  total("sign", "off", "4 of 498")
  total("state", "withheld", f"{2 * (SAMPLES // 8 + 1)} of 498")
  total("kind", "animal", "of 498")
  tab.locator("input[name=confidence]").fill("90")
  _counted(tab, "of 498")
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
  assert view.locator(".tile").count() == 15
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
  _until(tab, "getComputedStyle(document.querySelector('.tile .over')).opacity === '0'")
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


def test_with_the_keyboard_alone(tab):
  press = tab.keyboard.press
  press("/")
  playwright.expect(tab.locator("#query")).to_be_focused()
  tab.keyboard.type("wooden")
  _counted(tab, "of 498")
  press("ArrowDown")
  press("ArrowRight")
  focused = "document.activeElement.closest('li')?.getAttribute('aria-posinset')"
  assert tab.evaluate(focused) == "2"
  press("End")
  last = tab.evaluate("document.activeElement.closest('li').ariaSetSize")
  assert tab.evaluate(focused) == last
  press("Home")
  assert tab.evaluate(focused) == "1"
  press("Enter")
  heading = tab.locator("#view-unit h2")
  playwright.expect(heading).to_contain_text("Wooden doors")
  url = tab.url
  press("j")
  _until(tab, f"location.href !== {url!r}")
  press("k")
  _until(tab, f"location.href === {url!r}")
  press("h")
  playwright.expect(tab.locator(".tiles.heat")).to_be_visible()
  press("i")
  playwright.expect(tab.locator(".tiles.images")).to_be_visible()
  press("Escape")
  playwright.expect(tab.locator("#view-units")).to_be_visible()
  _until(tab, "document.activeElement.matches('a.card')")
  press("l")
  playwright.expect(tab.locator("#view-layers h2")).to_be_visible()
  press("?")
  playwright.expect(tab.locator("#keys")).to_be_visible()
  press("Escape")
  playwright.expect(tab.locator("#keys")).to_be_hidden()
  press("t")
  assert tab.evaluate("document.documentElement.dataset.theme") == "light"


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
  context = browser.new_context(
    viewport={"width": 390, "height": 844}, color_scheme=scheme
  )
  tab = context.new_page()
  for view in ("#/", "#/unit/one/conv%2F1/0", "#/layers", "#/compare", "#/about"):
    tab.goto(pathlib.Path(site).as_uri() + view)
    _until(tab, "milan.store.loaded === milan.store.facts.units")
    tab.wait_for_timeout(100)
    width = tab.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, view
  paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
  assert paper == {"light": "rgb(250, 249, 246)", "dark": "rgb(21, 20, 18)"}[scheme]
  context.close()


def test_only_what_is_seen_is_in_the_page(tab):
  assert tab.locator("ul.cards li").count() < 40
  tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
  _until(
    tab, "[...document.querySelectorAll('ul.cards li')].at(-1).ariaPosInSet === '498'"
  )
  assert tab.locator("ul.cards li").count() < 40
