"""The catalog of a run of the default, and two runs side by side, in headless Chromium.

The default network, its packaged photographs and the shipped captioner; of the layers
and units only some, so that the run takes less than a minute. What the pages show is
compared with the run's own files. Two runs of all layers and units are compared by

  python describe.py --workdir runs/a
  python describe.py --exemplars runs/a/exemplars --strategy greedy --workdir runs/b
  MILAN_RUNS=runs/a,runs/b python -m pytest tests/catalog/test_default_run.py
"""

import collections
import csv
import json
import os
import pathlib
import urllib.parse

import numpy as np
import pytest

import milan_jax
from milan_jax._src.catalog import site_data as written
from milan_jax._src.catalog.meaning import shortened
from milan_jax._src.catalog.pictures import folder_name
from milan_jax._src.catalog.word_index import words_of
from milan_jax._src.catalog.word_kinds import kinds_of, names_of
from milan_jax._src.text.sentence_vectors import packaged_model
from tests.helpers import site_data
from tests.helpers.browsing import (
  CHROMIUM,
  COLOR_RULES,
  TELEPHONE,
  counted,
  opened,
  serious,
  texts,
  until,
)
from tests.helpers.commands import run_here
from tests.helpers.one_size import one_size

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
RUNS = [part for part in os.environ.get("MILAN_RUNS", "").split(",") if part]
# Few, but also one that is dead and some that are shown by what lowers them.
LAYERS, UNITS = ("bn0", "blocks.5.bn1"), "0,1,5,9,16,31"
MOST = 60_000_000  # bytes of 1,000 units


def _meanings(texts):
  """Vectors by the words of the texts, where the sentence model is not installed."""
  words = sorted({word for text in texts for word in words_of(text)})
  counts = np.array([[words_of(text).count(w) for w in words] for text in texts])
  return shortened(counts.astype(np.float32) + 1e-3)


def _finished(command, *arguments):
  found = run_here(command, *arguments)
  assert found.returncode == 0, found.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory, optimized):
  """Folders of two finished runs: another search describes the same exemplars."""
  if RUNS:
    return [pathlib.Path(each).resolve() for each in RUNS]
  folder = tmp_path_factory.mktemp("runs")
  layers = f"--layers={','.join(LAYERS)}"
  one, other = f"--workdir={folder / 'one'}", f"--workdir={folder / 'other'}"
  with pytest.MonkeyPatch.context() as patch, one_size():
    if packaged_model() is None:
      patch.setattr(written, "meanings", _meanings)
    _finished("describe", layers, f"--units={UNITS}", one)
    again = (f"--exemplars={folder / 'one' / 'exemplars'}", "--strategy=greedy")
    _finished("describe", *again, "--nopage", other)
  return [folder / "one", folder / "other"]


@pytest.fixture(scope="module")
def one(runs):
  """The page of the first run, as the run wrote it."""
  return runs[0] / "index.html"


@pytest.fixture(scope="module")
def both(runs, tmp_path_factory):
  """The page of the catalog of both runs."""
  folder = tmp_path_factory.mktemp("both")
  _finished("catalog", f"--runs={runs[0]},{runs[1]}", f"--out={folder}")
  return folder / "index.html"


def _entries(page):
  """The entries of `catalog.json`, in order."""
  return json.loads((page.parent / "catalog.json").read_text())["units"]


@pytest.fixture(scope="module")
def units(one):
  return _entries(one)


@pytest.fixture(scope="module")
def keys(both):
  """The names of both runs in links."""
  return [each["key"] for each in site_data.facts(both.parent)["networks"]]


@pytest.fixture(scope="module")
def run(runs):
  return milan_jax.open_run(runs[0])


@pytest.fixture
def tab(browser, one, units):
  with opened(browser, one) as tab:
    counted(tab, f"{len(units)} units")
    yield tab


def _text(unit):
  return "" if unit["dead"] else unit["guess"] or unit["description"]


def _link(unit, network=""):
  name = f"{unit['unit']}{'-off' if unit['sign'] == 'off' else ''}"
  parts = (network, unit["layer"], name)
  return f"#/unit/{'/'.join(urllib.parse.quote(part, safe='') for part in parts)}"


def _links(tab):
  return tab.locator("a.card").evaluate_all("all => all.map((each) => each.hash)")


def test_the_run_is_that_of_the_default(run, units):
  assert (run.network, run.captioner) == ("efficientnet-lite0", "starter")
  assert len(units) == len(run.descriptions) and units
  assert {unit["layer"] for unit in units} == set(run.layers) >= set(LAYERS)
  # What an untrained captioner would not say.
  said = collections.Counter(word for unit in units for word in words_of(_text(unit)))
  assert said["edges"] >= 2 and said["areas"] >= 2
  assert any(unit["dead"] for unit in units)
  assert any(unit["sign"] == "off" for unit in units)


def test_search_by_words(tab, units):
  words = collections.Counter(
    word for unit in units for word in set(words_of(_text(unit))) if len(word) > 3
  )
  for word, _ in words.most_common(3):
    start = word[:3]
    expected = [
      _link(unit)
      for unit in units
      if any(each.startswith(start) for each in words_of(_text(unit)))
      or start in unit["layer"].lower()
    ]
    tab.fill("#query", start)
    counted(tab, f"{len(expected)} of {len(units)} units")
    shown = _links(tab)
    assert shown == expected[: len(shown)] and shown


def test_search_by_meaning(tab, one):
  folder = one.parent
  found = site_data.columns(folder)
  facts = site_data.facts(folder)
  vectors = np.concatenate(
    [
      site_data.column(data, "i1").reshape(-1, facts["vector_width"])
      for _, data in site_data.calls(folder, "vectors")
    ]
  ).astype(np.float64)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  tab.select_option("select[name=by]", "meaning")
  asked = next(filter(None, found["shown"]))
  tab.fill("#query", asked.upper())
  counted(tab, "nearest in meaning first")
  cosines = vectors @ vectors[found["texts"].index(asked)]
  order = sorted(
    (place for place in range(len(found["shown"])) if found["shown"][place]),
    key=lambda place: -cosines[found["text"][place]],
  )
  shown = [text.removeprefix("off: ") for text in texts(tab)]
  assert shown[0] == asked
  # Units with nearly equal cosines may change places.
  expected = [cosines[found["text"][place]] for place in order[: len(shown)]]
  values = [cosines[found["texts"].index(text)] for text in shown]
  np.testing.assert_allclose(values, expected, atol=1e-4)


def test_filters(tab, units):
  def total(choice, value, fits):
    tab.select_option(f"select[name={choice}]", value)
    expected = sum(map(bool, map(fits, units)))
    counted(tab, f"{expected} of {len(units)} units")
    shown = _links(tab)
    assert shown == [_link(unit) for unit in units if fits(unit)][: len(shown)]
    tab.select_option(f"select[name={choice}]", "")

  for layer in {unit["layer"] for unit in units}:
    total("layer", layer, lambda unit, layer=layer: unit["layer"] == layer)
  states = {
    "described": lambda unit: not unit["dead"] and not unit["guess"],
    "withheld": lambda unit: bool(unit["guess"]) and not unit["dead"],
    "dead": lambda unit: unit["dead"],
  }
  offered = tab.locator("select[name=state] option").evaluate_all(
    "all => all.map((each) => each.value)"
  )
  assert offered == ["", *(n for n, fits in states.items() if any(map(fits, units)))]
  for name in offered[1:]:
    total("state", name, states[name])
  if any(unit["sign"] == "off" for unit in units):
    total("sign", "off", lambda unit: unit["sign"] == "off")
  kinds = collections.Counter(
    kind for unit in units for kind in names_of(kinds_of(_text(unit)))
  )
  for kind, _ in kinds.most_common(3):
    total("kind", kind, lambda u, kind=kind: kind in names_of(kinds_of(_text(u))))
  tab.locator("input[name=confidence]").fill("40")
  sure = sum(not unit["dead"] and unit["confidence"] >= 0.4 for unit in units)
  counted(tab, f"{sure} of {len(units)} units")


def test_orders(tab, units, run):
  maxima = {}
  for layer in run.layers:
    known = run.exemplars.exemplars(layer)
    best = known.activations[:, 0].tolist()
    maxima |= dict(zip(known.signed_units(), best, strict=True))

  def maximum(unit):
    return maxima[milan_jax.Unit(unit["layer"], unit["unit"], unit["sign"])]

  orders = {
    "confidence": lambda unit: None if unit["dead"] else unit["confidence"],
    "score": lambda unit: unit["score"],
    "log p(text | regions)": lambda unit: unit["log p(text | regions)"],
    "maximum activation": maximum,
  }
  for name, value in orders.items():
    values = [value(unit) for unit in units if value(unit) is not None]
    tab.select_option("select[name=sort]", label=name)
    for extreme in (max(values), min(values)):
      # Several units may have it.
      first = [
        _link(unit)
        for unit in units
        if value(unit) is not None and np.isclose(value(unit), extreme, rtol=1e-6)
      ]
      until(tab, f"{json.dumps(first)}.includes(document.querySelector('a.card').hash)")
      tab.click("button.up")


def test_a_units_page(tab, units, run):
  with (run.folder / "descriptions.csv").open() as file:
    rows = list(csv.DictReader(file))
  place = next(i for i, unit in enumerate(units) if unit["confidence"] >= 0.3)
  unit, row = units[place], rows[place]
  assert (row["layer"], row["unit"]) == (unit["layer"], str(unit["unit"]))
  entry = run.descriptions[place]
  known = run.exemplars.exemplars(unit["layer"])
  index = known.signed_units().index(entry.unit)
  tab.goto(tab.address + _link(unit))
  view = tab.locator("#view-unit")
  playwright.expect(view.locator("h2")).to_contain_text(_text(unit))
  tiles = view.locator(".tiles .tile")  # not those of the samples
  count = int(known.num_regions[index])
  assert tiles.count() == count
  names = run.exemplars.image_names(known.image_rows[index])
  for slot in (0, count - 1):
    label = tiles.nth(slot).get_attribute("aria-label")
    value = float(label.split("activation ")[-1].split("lowered ")[-1].split(",")[0])
    np.testing.assert_allclose(value, known.activations[index, slot], rtol=0.006)
    assert label.startswith(f"Region {slot + 1},") and label.endswith(names[slot])
  score = f"{float(row['score']):.2f}".replace("-", "\u2212")
  playwright.expect(view.locator(".pairs").first).to_contain_text(score)
  described = view.locator(".hypotheses tbody tr")
  assert described.count() == len(entry.hypotheses) > 1
  for line, hypothesis in zip(described.all(), entry.hypotheses, strict=True):
    playwright.expect(line).to_contain_text(hypothesis.text)
  if entry.fires != entry.images:
    playwright.expect(view).to_contain_text(f"fires on {entry.fires} of {entry.images}")
  playwright.expect(view).to_contain_text("Nearest regions")
  # The pictures are there: what a tile shows is read from disk.
  address = tiles.first.locator(".whole").evaluate(
    "each => getComputedStyle(each).backgroundImage.slice(5, -2)"
  )
  size = tab.evaluate(
    "(url) => new Promise((done) => { const image = new Image();"
    " image.onload = () => done(image.naturalWidth); image.onerror = () => done(0);"
    " image.src = url; })",
    address,
  )
  assert size == 568
  for link in view.locator("a.mention").evaluate_all("all => all.map((e) => e.hash)"):
    assert link in set(map(_link, units))


def test_every_unit_has_a_link(tab, units, keys):
  heading = tab.locator("#view-unit h2")
  for place, unit in enumerate(units):
    link = _link(unit, keys[0] if place % 2 else "")
    tab.evaluate("(link) => { location.hash = link; }", link)
    expected = "Never varies" if unit["dead"] else _text(unit)
    off = "off: " if unit["sign"] == "off" and not unit["dead"] else ""
    until(tab, f"document.title.endsWith({json.dumps(_where(unit))})")
    assert heading.inner_text() == off + expected
  tab.reload()
  playwright.expect(heading).to_have_text(off + expected)


def _where(unit):
  off = " (off)" if unit["sign"] == "off" else ""
  return f"{unit['layer']}, unit {unit['unit']}{off}"


def test_two_runs_side_by_side(browser, one, both, run, keys):
  names = [each["title"] for each in site_data.facts(both.parent)["networks"]]
  tables = [_entries(one), _entries(both)]
  ours, theirs = tables[1][: len(tables[0])], tables[1][len(tables[0]) :]
  assert [_text(unit) for unit in ours] == [_text(unit) for unit in tables[0]]
  assert [unit["network"] for unit in theirs] == [keys[1]] * len(ours)
  with opened(browser, both) as tab:
    # One network, described by two captioners or searches.
    heading = tab.locator("h1")
    playwright.expect(heading).to_have_text(
      "What the units of efficientnet-lite0 respond to"
    )
    playwright.expect(tab.locator("select[name=network] option")).to_have_text(
      ["all", *names]
    )
    for layer in run.layers:
      query = urllib.parse.urlencode(
        {s: f"{k}/{layer}" for s, k in zip("ab", keys, strict=True)}
      )
      tab.goto(f"{tab.address}#/compare?{query}")
      pairs = [
        (one, other)
        for one, other in zip(ours, theirs, strict=True)
        if one["layer"] == layer
      ]

      def same(one, other):
        states = [
          (unit["dead"], bool(_text(unit) and unit["guess"])) for unit in (one, other)
        ]
        return _text(one) == _text(other) and states[0] == states[1]

      equal = sum(same(*pair) for pair in pairs)
      said = [
        {_text(pair[side]) for pair in pairs if not (pair[side]["guess"])} - {""}
        for side in (0, 1)
      ]
      view = tab.locator("#view-compare")
      playwright.expect(view).to_contain_text(
        f"{equal} of {len(pairs)} units have the same description"
      )
      playwright.expect(view).to_contain_text(
        f"Shared descriptions: {len(said[0] & said[1])}"
      )
      for side, name in enumerate(names):
        playwright.expect(view).to_contain_text(
          f"Only in {name}: {layer}: {len(said[side] - said[1 - side])}"
        )


def test_from_the_search_to_a_unit_and_back_with_the_keyboard(tab, units):
  press = tab.keyboard.press
  described = [unit for unit in units if _text(unit)]
  press("/")
  tab.keyboard.type(_text(described[0]))
  press("ArrowDown")
  press("Enter")
  heading = tab.locator("#view-unit h2")
  playwright.expect(heading).to_contain_text(_text(described[0]))
  for key, name in (("i", "images"), ("h", "heat"), ("r", "regions")):
    press(key)
    playwright.expect(tab.locator(f".tiles.{name}")).to_be_visible()
  press("Escape")
  until(tab, "document.activeElement.matches('a.card')")
  assert tab.evaluate("document.activeElement.hash") == _link(described[0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_telephone(browser, one, units, scheme):
  with opened(browser, one, size=TELEPHONE, color_scheme=scheme) as tab:
    for view in ("#/", _link(units[0]), "#/layers", "#/compare", "#/about"):
      tab.goto(tab.address + view)
      tab.wait_for_timeout(100)
      assert tab.evaluate("document.documentElement.scrollWidth") <= 390, view
      paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
      assert (sum(map(int, paper[4:-1].split(","))) < 384) == (scheme == "dark")
    assert not serious(tab)


def test_a_theme_that_is_chosen_stays(tab):
  button = tab.locator("#theme-button")
  for name in ("light", "dark"):
    button.click()
    assert button.get_attribute("aria-label") == f"Theme: {name}"
  tab.reload()
  paper = "getComputedStyle(document.body).backgroundColor"
  assert tab.evaluate(paper) == "rgb(21, 20, 18)"
  assert button.get_attribute("aria-label") == "Theme: dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, one, both, units, keys, scheme):
  rules = COLOR_RULES if scheme == "dark" else None
  sorts = {
    "described": lambda unit: not unit["dead"] and not unit["guess"],
    "withheld": lambda unit: bool(unit["guess"]) and not unit["dead"],
    "dead": lambda unit: unit["dead"],
  }
  of_each = [next(filter(fits, units), None) for fits in sorts.values()]
  layer = urllib.parse.urlencode({"layer": units[0]["layer"]})
  views = {
    one: ["#/", "#/?q=nothing+of+this", f"#/?{layer}", "#/layers", "#/about"]
    + [_link(unit) for unit in of_each if unit is not None],
    both: [
      f"#/?network={keys[1]}",
      "#/layers",
      "#/compare",
      _link(units[0], keys[1]),
    ],
  }
  for page, addresses in views.items():
    with opened(browser, page, color_scheme=scheme) as tab:
      for address in addresses:
        tab.goto(tab.address + address)
        # What is related to a unit is added when all is loaded.
        tab.wait_for_timeout(200)
        assert not serious(tab, rules=rules), address
      tab.keyboard.press("?")
      assert not serious(tab, rules=rules)


def test_no_confidence_is_certain(tab):
  tab.wait_for_function("milan.store.loaded === milan.store.facts.units")
  tab.evaluate("milan.store.confidence.set([0.9999, 0.0001])")
  tab.select_option("select[name=sort]", label="confidence")
  first = tab.locator("ul.cards li").first
  playwright.expect(first).to_contain_text("confidence >99%")
  for card in tab.locator("ul.cards .sure").all_inner_texts():
    assert "100%" not in card and " 0%" not in card


def test_a_thousand_units_take_less_than_60_megabytes(one, run):
  """Of any layer, and of all: the first has the longest borders around its regions."""
  folder, data = one.parent, one.parent / "site" / "data"

  def size(*paths):
    return sum(path.stat().st_size for path in paths if path.is_file())

  for number, layer in enumerate(run.layers):
    files = list((folder / "images" / folder_name(layer)).iterdir())
    files += data.glob(f"{number}-*.js")
    count = sum(entry.unit.layer == layer for entry in run.descriptions)
    assert size(*files) / count * 1000 < MOST, layer
  page = size(one, *(folder / "site").iterdir())  # once, however many units
  units = size(
    *(folder / "images").rglob("*"), *data.iterdir(), folder / "catalog.json"
  )
  assert page + units / len(run.descriptions) * 1000 < MOST
