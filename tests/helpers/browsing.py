"""A catalog in headless Chromium: opens it, waits, and reads what it shows."""

import contextlib
import pathlib
import shutil

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _BROWSERS)), None)
WIDE, TELEPHONE = (1280, 900), (390, 844)
# Milliseconds, on a machine that has much else to do.
PATIENCE = 30_000


@contextlib.contextmanager
def launched():
  """A headless Chromium."""
  from playwright import sync_api

  sync_api.expect.set_options(timeout=PATIENCE)
  with sync_api.sync_playwright() as driver:
    found = driver.chromium.launch(
      executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
    )
    yield found
    found.close()


@contextlib.contextmanager
def faultless(browser, *, size=WIDE, schemes=("file:",), **how):
  """An empty page; what goes wrong in it, or leaves it, fails the test.

  Args:
    browser: from `launched`.
    size: of the window.
    schemes: how the addresses begin that the page may ask for.
    how: of the browser's context.
  """
  width, height = size
  context = browser.new_context(viewport={"width": width, "height": height}, **how)
  tab = context.new_page()
  tab.set_default_timeout(PATIENCE)
  faults = []
  tab.on("pageerror", lambda error: faults.append(str(error)))
  tab.on(
    "console", lambda line: faults.append(line.text) if line.type == "error" else 0
  )
  tab.on("dialog", lambda dialog: faults.append("a script ran") or dialog.dismiss())
  tab.on(
    "request",
    lambda asked: None if asked.url.startswith(schemes) else faults.append(asked.url),
  )
  yield tab
  context.close()
  assert not faults, "\n".join(faults)


@contextlib.contextmanager
def opened(browser, page, view="", **how):
  """A catalog's page, opened from disk when all of it is loaded; see `faultless`."""
  with faultless(browser, **how) as tab:
    tab.address = pathlib.Path(page).as_uri()
    tab.goto(tab.address + view)
    until(tab, "milan.store.loaded === milan.store.facts.units")
    yield tab


def counted(tab, text):
  """Waits until the list's count contains a text."""
  from playwright import sync_api

  sync_api.expect(tab.locator("#count")).to_contain_text(text)


def until(tab, expression):
  """Waits; the page's policy forbids what `wait_for_function` does."""
  for _ in range(PATIENCE // 50):
    if tab.evaluate(expression):
      return
    tab.wait_for_timeout(50)
  raise AssertionError(f"never true: {expression}")


def tab_to(tab, selector, *, back=False):
  """Presses Tab until what is wanted has the focus."""
  for _ in range(60):
    if tab.evaluate("(what) => document.activeElement.matches(what)", selector):
      return
    tab.keyboard.press("Shift+Tab" if back else "Tab")
  raise AssertionError(f"Tab does not lead to {selector}")


def texts(tab):
  """The descriptions on the cards, as far as they are in the page."""
  return tab.locator("ul.cards .text > :nth-child(2)").all_inner_texts()


# The rules of axe that a scheme of colors bears on.
COLOR_RULES = ("color-contrast", "link-in-text-block")


def serious(tab, *, rules=None, tries=8):
  """What axe finds to be serious or critical, and where.

  What fades in has little contrast until it is there: only what stays is a fault.

  Args:
    tab: the page.
    rules: names of the rules to apply; None for all.
    tries: how often axe looks, half a second apart, before a fault is one.
  """
  from axe_playwright_python.sync_playwright import Axe

  # Without reading styles again, which the page's policy forbids.
  options = {"preload": False}
  if rules is not None:
    options["runOnly"] = {"type": "rule", "values": list(rules)}
  for _ in range(tries):
    found = Axe().run(tab, options=options).response
    assert found["passes"], "axe looked at nothing"
    faults = [
      (fault["id"], fault["help"], [node["html"][:120] for node in fault["nodes"][:3]])
      for fault in found["violations"]
      if fault["impact"] in ("serious", "critical")
    ]
    if not faults:
      break
    tab.wait_for_timeout(500)
  return faults
