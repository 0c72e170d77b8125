"""The page of milan-demo as a person uses it, in headless Chromium."""

import gc
import shutil
import socket

import pytest

from milan_jax._src.app.server import serving
from milan_jax._src.options.local_page import LocalPageOptions
from tests.app.conftest import LAYER, WORD
from tests.app.pictures import bomb, png

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
  pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
  # Of Gradio and what it imports.
  pytest.mark.filterwarnings("default"),
]
NAME = "<img src=x onerror=alert(3)>.png"
# Milliseconds; searches are compiled when they are first used.
PATIENCE = 120_000


@pytest.fixture(scope="module")
def url(evil_run, tmp_path_factory):
  uploads = tmp_path_factory.mktemp("gradio")
  connect, called = socket.socket.connect, set()

  def watched(self, address):
    called.add(address[0] if isinstance(address, tuple) else "")
    return connect(self, address)

  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("GRADIO_TEMP_DIR", str(uploads))
    patch.setattr(socket.socket, "connect", watched)
    with serving(LocalPageOptions.of(runs=str(evil_run))) as address:
      yield address
    gc.collect()  # what Gradio leaves warns now, not in another test
  # Nothing that was uploaded was written, and nobody else was called.
  assert not [path for path in uploads.rglob("*") if path.is_file()]
  assert called <= {"", "127.0.0.1", "localhost"}


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as running:
    chromium = running.chromium.launch(
      executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
    )
    yield chromium
    chromium.close()


@pytest.fixture
def page(browser, url):
  """A page that fails the test if a script of a name or text runs, or at errors."""
  context = browser.new_context()
  opened = context.new_page()
  opened.set_default_timeout(PATIENCE)
  troubles, hosts = [], set()
  opened.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.accept()))
  opened.on("pageerror", lambda error: troubles.append(str(error)))
  opened.on("request", lambda request: hosts.add(request.url.split("/")[2]))
  opened.goto(url)
  opened.get_by_role("button", name="Describe", exact=True).wait_for()
  yield opened
  assert not troubles
  assert {host for host in hosts if host} == {url.split("/")[2]}
  context.close()


def _answer(page):
  answer = page.locator(".milan-answer:visible")
  answer.wait_for()
  return answer


def _choose(page, *files):
  page.get_by_role("tab", name="Your pictures").click()
  page.get_by_label("Pictures", exact=True).set_input_files(list(files))


def _file(name, data):
  return {"name": name, "mimeType": "image/png", "buffer": data}


def test_a_unit_is_described_with_its_attention(page):
  page.get_by_label("Unit", exact=True).click()
  page.get_by_role("option", name="3").click()
  page.get_by_role("button", name="Describe", exact=True).click()
  answer = _answer(page)
  assert f"<i>run: {LAYER}/3" in answer.inner_text()
  assert WORD in answer.inner_text().lower()
  assert answer.locator(".milan-weight").count() >= 3
  assert page.locator("text=Traceback").count() == 0


def test_pictures_are_painted_and_described(page):
  _choose(page, _file(NAME, png()), _file("b.png", png(seed=1)))
  canvases = page.locator(".milan-painter canvas")
  canvases.nth(1).wait_for()
  page.get_by_text("2 chosen.").wait_for()
  assert NAME in page.locator(".milan-painter").inner_text()
  box = canvases.nth(0).bounding_box()
  page.mouse.move(box["x"] + 40, box["y"] + 40)
  page.mouse.down()
  page.mouse.move(box["x"] + 90, box["y"] + 60, steps=4)
  page.mouse.up()
  canvases.nth(1).focus()
  for key in ("ArrowRight", "ArrowDown", "Space"):
    page.keyboard.press(key)
  painted = """(canvas) => {
    const context = canvas.getContext("2d");
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return [40 + 224 * 40, 120 + 224 * 120, 200 + 224 * 200].map(
      (place) => pixels[4 * place + 3]
    );
  }"""
  assert canvases.nth(0).evaluate(painted) == [255, 0, 0]
  assert canvases.nth(1).evaluate(painted) == [0, 255, 0]
  page.get_by_role("button", name="Describe the regions").click()
  assert "2 pictures" in _answer(page).inner_text()
  page.get_by_role("button", name="Clear the region on b.png").click()
  assert canvases.nth(1).evaluate(painted) == [0, 0, 0]
  page.get_by_role("button", name="Remove b.png").click()
  assert canvases.count() == 1


def test_bad_uploads_are_refused_with_a_message(page, tmp_path):
  huge = tmp_path / "huge.png"
  huge.write_bytes(b"\x89PNG" + bytes(11_000_000))
  _choose(page, _file(NAME, b"no picture"))
  status = page.locator(".milan-painter [role=status]")
  for files, message in (
    ((), f"{NAME}: it is not a picture of a known format"),
    ((_file("cut.png", png()[:400]),), "cut.png: it cannot be decoded"),
    ((_file("bomb.png", bomb()),), "its 60,000 x 60,000 pixels exceed the limit"),
    ((str(huge),), "huge.png: expected at most 10.0 MB; found 11.0 MB"),
    ([_file(f"{n}.png", png(8, 8)) for n in range(20)], "at most 15; found 20"),
  ):
    if files:
      _choose(page, *files)
    playwright.expect(status).to_contain_text(message, timeout=PATIENCE)
  assert page.locator(".milan-painter canvas").count() == 0
  page.get_by_role("button", name="Describe the regions").click()
  page.get_by_text("Choose at least one picture first.").wait_for()


def test_a_text_finds_units(page):
  page.get_by_role("tab", name="Search").click()
  page.get_by_label("Description").fill(f"{WORD}0 {WORD}1")
  page.get_by_role("button", name="Search").click()
  text = _answer(page).inner_text()
  assert f"{LAYER}/0" in text and f"“{WORD}0 {WORD}1”" in text
