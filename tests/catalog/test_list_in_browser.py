"""The catalog's list in headless Chromium: search, filters, order, keys."""

import pytest

from milan_jax._src.catalog.word_kinds import kinds_of, names_of
from tests.catalog.two_networks import EVIL, SAMPLES, count_units
from tests.helpers.browsing import CHROMIUM, counted, texts, until

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def test_search_by_words(tab):
  tab.fill("#query", "flow")
  # Those that are withheld are found too.
  expected = count_units(lambda index, text, state: text == "Red flowers")
  counted(tab, f"{expected} of 498 units")
  assert set(texts(tab)) <= {"Red flowers", "off: Red flowers"}
  tab.fill("#query", "dogs cat")
  assert "Cats and dogs" in texts(tab)[0]
  tab.fill("#query", "sky")
  counted(tab, f"{count_units(lambda i, text, s: text == 'Blue sky')} of 498 units")
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
  animals = count_units(lambda i, text, s: "animal" in names_of(kinds_of(text)))
  assert animals == count_units(lambda i, text, s: "ogs" in text)
  total("kind", "animal", f"{animals} of 498")
  tab.locator("input[name=confidence]").fill("90")
  sure = count_units(lambda index, text, state: state != "dead" and index % 100 >= 90)
  counted(tab, f"{sure} of 498")
  assert "confidence=90" in tab.url
  tab.click("text=Clear >> visible=true")
  tab.select_option("select[name=layer]", "conv/1")
  tab.select_option("select[name=sort]", label="score")
  first = tab.locator("ul.cards .where").first
  playwright.expect(first).to_have_text("First network: conv/1, unit 0")
  tab.click("button.up")
  playwright.expect(first).to_have_text(f"First network: conv/1, unit {SAMPLES - 1}")
  tab.select_option("select[name=sort]", label="description, from A")
  tab.click("button.up")
  playwright.expect(tab.locator("ul.cards .text").first).to_contain_text(EVIL)
  tab.click("button.up")
  tab.select_option("select[name=sort]", label="confidence")
  tab.click("button.up")
  playwright.expect(first).to_have_text("First network: conv/1, unit 99")
  tab.select_option("select[name=sort]", label="share of images it fires on")
  # The last unit is dead.
  playwright.expect(first).to_have_text(f"First network: conv/1, unit {SAMPLES - 2}")


FOCUSED = "document.activeElement.closest('li')?.getAttribute('aria-posinset')"


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
  doors = count_units(lambda i, text, s: text == "Wooden doors")
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


def test_only_what_is_seen_is_in_the_page(tab):
  assert tab.locator("ul.cards li").count() < 40
  tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
  until(
    tab, "[...document.querySelectorAll('ul.cards li')].at(-1).ariaPosInSet === '498'"
  )
  assert tab.locator("ul.cards li").count() < 40
