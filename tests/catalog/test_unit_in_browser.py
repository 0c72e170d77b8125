"""A unit's page in headless Chromium: what it shows, links, keys."""

import numpy as np
import pytest

from milan_jax._src.notebook import confidence_text
from tests.catalog.two_networks import EVIL, SAMPLES, UNITS, count_units
from tests.helpers.browsing import CHROMIUM, counted, opened, tab_to, until

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


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
  same = view.locator("#related > section").filter(has_text="The same description")
  names = same.locator(".name").all_inner_texts()
  # Of which network each is.
  assert all(name.startswith("First network: ") for name in names) and names
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


def test_a_link_opens_a_unit_among_its_neighbors(browser, site):
  """Also as the first page, before the list is shown."""
  with opened(browser, site, "#/unit/one/conv%2F1/1") as tab:
    steps = tab.locator("#view-unit .steps")
    playwright.expect(steps).to_contain_text(f"2 of {len(UNITS)}")
    tab.keyboard.press("j")
    playwright.expect(steps).to_contain_text(f"3 of {len(UNITS)}")
    assert tab.evaluate("location.hash") == "#/unit/one/conv%2F1/2"


def test_a_dead_unit_shows_no_description(tab):
  tab.goto(f"{tab.address}#/unit/one/conv%2F1/{SAMPLES - 1}")
  view = tab.locator("#view-unit")
  playwright.expect(view.locator("h2")).to_have_text("Never varies")
  playwright.expect(view).to_contain_text("its images mean nothing")
  for words in ("Scores", "Best descriptions", "Wooden doors"):
    playwright.expect(view).not_to_contain_text(words)


def test_numbers_are_short_also_if_very_small_or_large(tab):
  values = [0, 3.14159, -0.001, 123456, 1.4305e-6, -4.77e-7, -2.5e7]
  shown = tab.evaluate("(all) => all.map((each) => milan.brief(each))", values)
  minus = "\N{MINUS SIGN}"
  assert shown == [
    *("0", "3.14", f"{minus}0.001", "123000", f"1.43e{minus}6"),
    *(f"{minus}4.77e{minus}7", f"{minus}2.5e7"),
  ]


def test_a_confidence_is_never_certain(tab):
  values = [1.0, 0.995, 0.9949, 0.285001, 0.005, 0.0049, 0.0]
  shown = tab.evaluate("(all) => all.map((each) => milan.probability(each))", values)
  assert shown == [">99%", ">99%", "99%", "29%", "1%", "<1%", "<1%"]
  # As everything else that is not a page of the catalog has it.
  assert shown == list(map(confidence_text, values))
  tab.goto(tab.address + "#/unit/one/conv%2F1/0")
  line = tab.locator("#view-unit .line")
  playwright.expect(line).to_contain_text("confidence <1%")


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
  # 4.5 is inside a bin without images.
  line = view.locator(".line")
  playwright.expect(line).to_contain_text("above the threshold on 4 of 400 images")
  # At the edge of a bin, which may be that of a plateau: also with rounded digits.
  for width, threshold in ((1, 1), (2**-20, 9.53674316e-07)):
    known = {"distribution": {"maxima": [0, width, [300, 90, 6]]}}
    known["threshold"] = threshold
    text = tab.evaluate("(details) => milan.exceeding(0, details)", known)
    assert text.endswith("on 6 to 96 of 396 images")
  samples = view.locator(".samples .tile")
  assert samples.evaluate_all("all => all.map(e => e.getAttribute('aria-label'))") == [
    "Sample 1, activation 8.25, from an interval with 0.3% of images, a.jpg",
    f"Sample 2, activation 5.5, from an interval with 0.8% of images, {EVIL}",
    "Sample 3, activation 0.5, from an interval with 99% of images, below the "
    "threshold, c.jpg",
  ]
  assert _loads(tab, ".samples .whole").endswith('/one/conv%252F1/0.range.webp")')
  tab.goto(tab.address + "#/unit/one/conv%2F1/1")
  playwright.expect(view).to_contain_text("histogram over all images was not stored")
  assert view.locator(".samples").count() == 0
  playwright.expect(line).not_to_contain_text("threshold")


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


def test_keys_of_a_units_page(tab):
  press = tab.keyboard.press
  tab.fill("#query", "wooden")
  doors = count_units(lambda i, text, s: text == "Wooden doors")
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
  tab_to(tab, "li:nth-child(2) > .tile")
  until(tab, f"{over} === '0'")
  # A press keeps it; the same again takes it back.
  for key, pressed in (("Enter", "true"), ("Space", "false"), ("Space", "true")):
    press(key)
    tile = tab.evaluate("document.activeElement.ariaPressed")
    assert tile == pressed, key
  tab_to(tab, "li:nth-child(3) > .tile")
  until(tab, f"{over.replace('[1]', '[2]')} === '0'")
  assert tab.evaluate(over) == "0"
  # By Tab also to the modes, which the arrow keys change, and to related units.
  tab_to(tab, "input[name=mode]", back=True)
  press("ArrowRight")
  playwright.expect(view.locator(".tiles.images")).to_be_visible()
  for place, name in enumerate(
    ("The same description", "Nearest descriptions", "Nearest regions"), 1
  ):
    tab.evaluate("location.hash = '#/unit/one/conv%2F1/7-off'")
    section = view.locator(f"#related > section:nth-child({place})")
    playwright.expect(section.locator("h3")).to_contain_text(name)
    tab_to(tab, f"#related > section:nth-child({place}) a.mention")
    link = tab.evaluate("document.activeElement.hash")
    press("Enter")
    until(tab, f"location.hash === {link!r}")
    playwright.expect(heading).to_be_focused()
  press("Escape")
  playwright.expect(tab.locator("#view-units")).to_be_visible()
  until(tab, "document.activeElement.matches('a.card')")
  counted(tab, f"{doors} of 498 units")


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
