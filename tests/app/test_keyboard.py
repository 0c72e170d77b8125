"""The page of milan-demo without a mouse, and as axe sees it, in headless Chromium."""

import pytest

from tests.app.conftest import LAYER, PATIENCE, WORD, answer_of
from tests.app.pictures import png, upload
from tests.helpers.browsing import CHROMIUM, COLOR_RULES, serious, tab_to

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")
pytestmark = [
  pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
  # Of Gradio and what it imports.
  pytest.mark.filterwarnings("default"),
]


# The name of the option that Enter would choose.
MARKED = """() => {
  const marked = document.activeElement.getAttribute("aria-activedescendant");
  return document.getElementById(marked)?.getAttribute("aria-label");
}"""


def _choose(page, label, wanted):
  """Chooses in a list by keys."""
  tab_to(page, f"input[aria-label='{label}']")
  for _ in range(60):
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(100)
    if page.evaluate(MARKED) == wanted:
      page.keyboard.press("Enter")
      break
  chosen = page.get_by_label(label, exact=True)
  playwright.expect(chosen).to_have_value(wanted)


def _move_to(page, wanted):
  """Presses Tab until an element has the focus."""
  for _ in range(60):
    if wanted.evaluate("(element) => element === document.activeElement"):
      return
    page.keyboard.press("Tab")
  raise AssertionError(f"Tab does not lead to {wanted}")


def _press(page, name, role="button"):
  """Moves to a button or tab by its name, and presses it."""
  _move_to(page, page.get_by_role(role, name=name, exact=True))
  page.keyboard.press("Enter")


def _open_files(page, key, files):
  """Opens the dialog for files by a key, and gives it some.

  Where none opens, as on a busy machine, the key is pressed again.
  """
  for _ in range(5):
    tab_to(page, ".milan-painter input[type=file]")
    try:
      with page.expect_file_chooser(timeout=15000) as chooser:
        page.keyboard.press(key)
    except playwright.TimeoutError:
      continue
    chooser.value.set_files(files)
    return
  raise AssertionError(f"{key} does not open the dialog for files")


def test_a_unit_is_chosen_and_described(page, captioner):
  _choose(page, "Captioner", captioner.name)
  _choose(page, "Strategy", "rerank")
  refusal = page.locator(".milan-error:visible")
  for label, message in (
    ("Temperature (rerank)", "Temperature: expected a number; found 'hot'."),
    ("Beam size", "Beam: expected a whole number; found 'hot'."),
  ):
    field = page.get_by_label(label, exact=True)
    _move_to(page, field)
    page.keyboard.type("hot")
    _press(page, "Describe")
    playwright.expect(refusal).to_have_text(message, timeout=PATIENCE)
    _move_to(page, field)
    page.keyboard.press("Control+A")
    page.keyboard.press("Backspace")
  _choose(page, "Strategy", "greedy")
  _choose(page, "Run", "<i>run")
  _choose(page, "Layer", LAYER)
  _choose(page, "Unit", "2")
  page.evaluate("window.live = [...document.querySelectorAll('[aria-live=polite]')]")
  _press(page, "Describe")
  page.locator(".milan-answer:visible").wait_for()  # in place of the refusal
  answer = answer_of(page)
  # It is read out: it comes into an element that was there before.
  assert answer.evaluate("(e) => window.live.includes(e.closest('[aria-live]'))")
  assert f"<i>run: {LAYER}/2" in answer.inner_text()
  assert f"{captioner.name}, greedy" in answer.inner_text()


def test_pictures_are_chosen_painted_and_described(page):
  _press(page, "Your pictures", role="tab")
  _open_files(page, "Enter", [upload("a.png", png())])
  page.get_by_text("1 chosen.").wait_for()
  _open_files(page, "Space", [upload("b.png", png(seed=1))])
  page.get_by_text("2 chosen.").wait_for()
  drawing = page.get_by_role("application", name="Region on a.png")
  assert drawing.evaluate("(canvas) => canvas.tabIndex") == 0
  tab_to(page, ".milan-painter input[type=range]")
  brush = page.locator(".milan-painter input[type=range]")
  page.keyboard.press("Home")
  assert brush.input_value() == "4"
  page.keyboard.press("ArrowRight")
  assert brush.input_value() == "5"

  def painted(number):
    return (
      page.locator(".milan-painter canvas")
      .nth(number)
      .evaluate(
        """(canvas) => canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height)
        .data.filter((_, place) => place % 4 === 3 && _ >= 128).length"""
      )
    )

  tab_to(page, "canvas")
  page.keyboard.press("Space")
  once = painted(0)
  assert 12 < once < 30  # a disk of 5 pixels
  for key in ("ArrowLeft", "ArrowUp", "Enter"):
    page.keyboard.press(key)
  assert painted(0) == 2 * once
  tab_to(page, ".milan-painter input[type=checkbox]", back=True)
  page.keyboard.press("Space")
  tab_to(page, "canvas")
  page.keyboard.press("Space")
  assert painted(0) == once
  _press(page, "Clear the region on a.png")
  assert painted(0) == 0
  _press(page, "Remove b.png")
  assert page.locator(".milan-painter canvas").count() == 1
  playwright.expect(page.locator(".milan-painter input[type=file]")).to_be_focused()
  _press(page, "Describe the regions")
  assert "1 picture" in answer_of(page).inner_text()


def test_a_text_is_searched_for(page):
  _press(page, "Search", role="tab")
  _choose(page, "Units to show", "20")
  tab_to(page, "textarea", back=True)
  page.keyboard.type(f"{WORD}0")
  page.keyboard.press("Enter")
  assert f"“{WORD}0”" in answer_of(page).inner_text()
  page.keyboard.type("1")
  _press(page, "Search")
  page.get_by_text(f"“{WORD}01”").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, scheme):
  rules = COLOR_RULES if scheme == "dark" else None
  page.emulate_media(color_scheme=scheme)
  page.reload()
  describe = page.get_by_role("button", name="Describe", exact=True)
  describe.wait_for()
  assert not serious(page, rules=rules)
  describe.click()
  answer_of(page)
  assert not serious(page, rules=rules)
  page.get_by_label("Unit", exact=True).click()
  page.get_by_role("option", name="1").wait_for()
  assert not serious(page, rules=rules)
  page.keyboard.press("Escape")
  page.get_by_role("tab", name="Your pictures").click()
  page.get_by_label("Pictures", exact=True).set_input_files(
    [upload("a.png", png()), upload("b.png", b"no picture")]
  )
  page.get_by_text("b.png: it is not a picture").wait_for()
  assert not serious(page, rules=rules)
  # Also on a telephone, where nothing may stand out.
  page.set_viewport_size({"width": 390, "height": 844})
  for element in page.locator(".milan-painter :is(input, canvas, button)").all():
    box = element.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
  assert not serious(page, rules=rules)
  page.get_by_role("button", name="Describe the regions").click()
  answer_of(page)
  assert not serious(page, rules=rules)
  page.get_by_role("tab", name="Search").click()
  page.get_by_label("Description").fill("unheard")
  page.get_by_role("button", name="Search").click()
  answer_of(page)
  assert not serious(page, rules=rules)
  # Wide tables scroll by themselves, and nothing else is wider than the page.
  for name in ("Search", "Your pictures", "Units"):
    page.get_by_role("tab", name=name).click()
    answer_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
