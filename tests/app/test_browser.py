"""The page of milan-demo as a person uses it, in headless Chromium."""

import pytest

import milan_jax
from tests.app.conftest import LAYER, PATIENCE, WORD, answer_of
from tests.app.pictures import BAD, png, upload
from tests.helpers.browsing import CHROMIUM

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
  pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
  # Of Gradio and what it imports.
  pytest.mark.filterwarnings("default"),
]
NAME = "<img src=x onerror=alert(3)>.png"
SCRIPT = "<script>alert(4)</script>.png"


def _choose(page, *files):
  page.get_by_role("tab", name="Your pictures").click()
  page.get_by_label("Pictures", exact=True).set_input_files(list(files))


def test_a_unit_is_described_with_its_attention(page):
  page.get_by_label("Unit", exact=True).click()
  page.get_by_role("option", name="3").click()
  page.get_by_role("button", name="Describe", exact=True).click()
  answer = answer_of(page)
  assert f"<i>run: {LAYER}/3" in answer.inner_text()
  assert WORD in answer.inner_text().lower()
  assert answer.locator(".milan-weight").count() >= 3
  assert page.locator("text=Traceback").count() == 0


def test_pictures_are_painted_and_described(page):
  _choose(page, upload(NAME, png()), upload(SCRIPT, png(seed=1)))
  canvases = page.locator(".milan-painter canvas")
  canvases.nth(1).wait_for()
  page.get_by_text("2 chosen.").wait_for()
  shown = page.locator(".milan-painter").inner_text()
  assert NAME in shown and SCRIPT in shown
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
  assert "2 pictures" in answer_of(page).inner_text()
  page.get_by_role("button", name=f"Clear the region on {SCRIPT}").click()
  assert canvases.nth(1).evaluate(painted) == [0, 0, 0]
  page.get_by_role("button", name=f"Remove {SCRIPT}").click()
  assert canvases.count() == 1


def test_bad_uploads_are_refused_with_a_message(page, tmp_path):
  status = page.locator(".milan-painter [role=status]")
  page.get_by_role("tab", name="Your pictures").click()
  for kind, (data, message) in BAD.items():
    name = f"<script>{kind}</script>.png"
    path = tmp_path / kind  # a browser sends no more than a few MB that are not a file
    path.mkdir()
    (path / "a.png").write_bytes(data)
    chosen = str(path / "a.png") if len(data) > 1e6 else upload(name, data)
    _choose(page, chosen)
    playwright.expect(status).to_contain_text(message, timeout=PATIENCE)
    shown = "a.png: " if isinstance(chosen, str) else f"{name}: "
    playwright.expect(status).to_contain_text(shown)
  _choose(page, *(upload(f"{n}.png", png(8, 8)) for n in range(20)))
  playwright.expect(status).to_contain_text("at most 15; found 20", timeout=PATIENCE)
  assert page.locator(".milan-painter canvas").count() == 0
  page.get_by_role("button", name="Describe the regions").click()
  page.get_by_text("Choose at least one picture first.").wait_for()


def test_a_good_picture_among_bad_ones_is_kept(page):
  _choose(page, upload("a.png", b"no picture"), upload("b.png", png()))
  status = page.locator(".milan-painter [role=status]")
  playwright.expect(status).to_contain_text("1 chosen.", timeout=PATIENCE)
  playwright.expect(status).to_contain_text("a.png: it is not a picture")
  assert page.locator(".milan-painter canvas").count() == 1


def test_what_the_page_does_not_send_is_refused_before_gradio(page, url):
  """A page of another site, or a script on this machine, gets no farther."""
  request = page.request
  for path in ("gradio_api/file=/etc/passwd", "gradio_api/proxy=http://example.org"):
    assert request.get(url + path).status == 403
  assert request.post(url + "gradio_api/upload", multipart={"a": "b"}).status == 403
  join = url + "gradio_api/queue/join"
  assert request.post(join, data="x" * 17_000_000).status in (413, 415)
  assert request.get(url, headers={"host": "example.org"}).status == 403
  assert "frame-ancestors 'none'" in request.get(url).headers["content-security-policy"]


def test_a_unit_is_described_by_a_second_captioner(page, evil_run, captioner):
  run = milan_jax.open_run(evil_run)
  unit = run.unit(f"{LAYER}/2")
  second = milan_jax.load(captioner)
  (expected,) = second.describe(
    run.exemplars_of([unit]), options=milan_jax.DecodingOptions(batch_size=1)
  )
  page.get_by_label("Captioner", exact=True).click()
  page.get_by_role("option", name=captioner.name).click()
  page.get_by_label("Unit", exact=True).click()
  page.get_by_role("option", name="2").click()
  page.get_by_role("button", name="Describe", exact=True).click()
  answer = answer_of(page)
  new, old = answer.locator(".milan-text").all_inner_texts()
  assert new.startswith(expected.text) and old.startswith(run.description(unit).text)
  assert WORD not in new.lower() and WORD in old.lower()
  how = f"{captioner.name}, {second.decoding.strategy}, beam of"
  assert how in answer.inner_text()
  # The attention over the regions, of each word of the new description.
  (weights,) = second.attend(
    second.encode(run.exemplars_of([unit])), {unit: [expected.text]}
  )[unit]
  rows = answer.locator("tbody tr")
  assert rows.locator("th").all_inner_texts() == list(weights.words)
  assert answer.locator("tbody .milan-weight").all_inner_texts() == [
    f"{weight:.0%}" for row in weights.weights for weight in row
  ]


def test_a_text_finds_units(page):
  page.get_by_role("tab", name="Search").click()
  page.get_by_label("Description").fill(f"{WORD}0 {WORD}1")
  page.get_by_role("button", name="Search").click()
  text = answer_of(page).inner_text()
  assert f"{LAYER}/0" in text and f"“{WORD}0 {WORD}1”" in text
