"""A synthetic catalog: build time, size and memory; then search and scrolling.

  python benchmarks/bench_catalog.py /tmp/site --units 100000 --pictures 200
  python benchmarks/bench_catalog.py /tmp/site --units 20000 --pictures 20000 --measure
  python benchmarks/bench_catalog.py /tmp/site --units 1000 --pictures 1000

Units have descriptions made of a few thousand words, numbers, features and details as
those of a run. The first `--pictures` units have pictures of their own, drawn from the
packaged photographs; the others share these files as hard links. `--measure` opens the
site in headless Chromium (the Python package playwright), and prints the time of the
first paint, of searches (also by meaning, if the sentence model was installed when the
site was built), and the longest tasks while it loads and scrolls.
"""

import argparse
import pathlib
import resource
import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from milan_jax._src.catalog import page, pictures
from milan_jax._src.catalog.page import Network, PageInfo, PageUnit
from milan_jax._src.images.demo import DemoImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.records import Hypothesis, Unit

if TYPE_CHECKING:
  from playwright import sync_api

NOUNS = (
  "dog cat flower window wheel car grass sky wall hand face bird boat tree".split()
)
COLORS = "red green blue dark bright yellow brown white black orange pink".split()
SHAPES = "striped round long thin small big curved vertical horizontal dotted".split()
LAYERS = 25
K = 15


def words() -> np.ndarray:
  """Nouns of a large vocabulary: beginnings and endings of known ones."""
  ends = ["", "house", "side", "land", "work", "ware", "let", "man", "piece", "wood"]
  pairs = [f"{a}{b}{end}" for a in NOUNS for b in NOUNS for end in ends]
  return np.array(NOUNS + pairs)


def description(rng: np.random.Generator, nouns: np.ndarray) -> str:
  """A description; frequent words come as often as in real ones."""
  noun, other = nouns[(len(nouns) * rng.random(2) ** 4).astype(int)]
  parts = [rng.choice(COLORS), rng.choice(SHAPES), noun]
  if rng.random() < 0.6:
    parts += ["with", rng.choice(COLORS), other]
  return " ".join(parts).capitalize()


def photographs() -> np.ndarray:
  """Crops of the packaged photographs."""
  source = DemoImages(Geometry(resize=224, crop=224))
  return np.stack([source.load(index) for index in range(len(source))])


def blobs(rng: np.random.Generator) -> np.ndarray:
  """Round masks, as those of a unit."""
  y, x = np.mgrid[:224, :224]
  centers, radii = rng.uniform(30, 194, (K, 2, 1, 1)), rng.uniform(15, 70, (K, 1, 1))
  return (y - centers[:, 0]) ** 2 + (x - centers[:, 1]) ** 2 < radii**2


def units(args: argparse.Namespace, folder: pathlib.Path) -> Iterator[PageUnit]:
  rng, nouns = np.random.default_rng(0), words()
  images = photographs()
  per_layer = -(-args.units // LAYERS)
  for number in range(args.units):
    layer, index = f"layer{number // per_layer}", number % per_layer
    if number >= args.pictures:
      share(folder, number % args.pictures, layer, index, per_layer)
    text = description(rng, nouns)
    withheld, log_prob = bool(rng.random() < 0.3), -float(rng.gamma(4, 1))

    def regions(seed=number):
      own = np.random.default_rng(seed)
      return images[own.integers(len(images), size=K)], blobs(own)

    activations = np.sort(rng.gamma(3, 1, K))[::-1]
    yield PageUnit(
      Unit(layer, index),
      "No clear pattern" if withheld else text,
      regions,
      scores={
        "score": log_prob / 2,
        "log p(text | regions)": log_prob,
        "log p(text)": 3 * log_prob,
      },
      dead=bool(rng.random() < 0.01),
      confidence=float(rng.beta(4, 2)),
      guess=text if withheld else "",
      fires=(int(rng.integers(1, 50_000)), 50_000),
      activations=activations.tolist(),
      threshold=float(activations[-1] / 2),
      names=[f"ILSVRC2012_val_{i:08}.JPEG" for i in rng.integers(50_000, size=K)],
      maps=lambda: np.random.default_rng(0).random((K, 14, 14), np.float32),
      features=lambda seed=number: np.random.default_rng(seed).random(64, np.float32),
      hypotheses=[Hypothesis(text, log_prob / 2, log_prob, 3 * log_prob)] * 5,
    )


def share(
  folder: pathlib.Path, number: int, layer: str, index: int, per_layer: int
) -> None:
  """Links a unit's pictures to those of another, signed for its own name."""
  place = folder / page.IMAGES / layer
  place.mkdir(parents=True, exist_ok=True)
  source = folder / page.IMAGES / f"layer{number // per_layer}"
  for suffix in (pictures.SHEET, pictures.COVER):
    path = place / f"{index}{suffix}"
    if not path.exists():
      path.hardlink_to(source / f"{number % per_layer}{suffix}")


def build(args: argparse.Namespace) -> None:
  folder = pathlib.Path(args.folder)
  shutil.rmtree(folder, ignore_errors=True)
  began = time.perf_counter()
  if args.pictures < args.units:
    # A shared picture has the mark of another unit: take it as it is.
    pictures.is_signed = lambda data, name: True
  info = PageInfo("A synthetic network", "synthetic", "photographs")
  layers = [f"layer{number}" for number in range(LAYERS)]
  network = Network(info, layers, units(args, folder), "synthetic")
  page.write_site(folder, info.title, [network])
  seconds = time.perf_counter() - began
  used = time.process_time()
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  data = sum(path.stat().st_size for path in (folder / page.SITE).rglob("*"))
  count, per_layer = min(args.pictures, args.units), -(-args.units // LAYERS)
  images = folder / page.IMAGES
  drawn = [
    (images / f"layer{number // per_layer}" / f"{number % per_layer}{suffix}").stat()
    for number in range(count)
    for suffix in (pictures.SHEET, pictures.COVER)
  ]
  print(
    f"{args.units:,} units built in {seconds:.0f} s ({used:.0f} s of a core), peak "
    f"memory {peak:.0f} MB"
  )
  print(
    f"data: {data / 1e6:.1f} MB, page {(folder / page.PAGE).stat().st_size:,} bytes"
  )
  size = sum(each.st_size for each in drawn)
  print(f"pictures: {size / count / 1e3:.1f} kB a unit ({count:,} drawn)")
  if count == args.units:
    print(f"all together: {(data + size) / 1e6:.1f} MB")
  print(f"{count / seconds:.0f} units drawn a second, all other work included")


OBSERVE = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) longest = Math.max(longest, each.duration);
}).observe({ type: "longtask", buffered: true });
"""


# Scrolls far away and draws, with layout, as one task does.
JUMPS = """
(() => {
  const most = document.documentElement.scrollHeight;
  return Array.from({ length: 50 }, (_, i) => {
    const began = performance.now();
    scrollTo(0, (most * ((i * 37) % 50)) / 50);
    milan.list.draw();
    document.body.offsetHeight;
    return performance.now() - began;
  });
})()
"""


def search(tab: "sync_api.Page", query: str) -> None:
  """Searches five times, and prints the time of each answer."""
  times = []
  for _ in range(5):
    tab.fill("#query", "")
    tab.wait_for_timeout(200)
    tab.fill("#query", query)
    tab.wait_for_timeout(300)
    times.append(tab.evaluate("milan.searchTime"))
  print(f"search {query!r}: {min(times):.0f} to {max(times):.0f} ms")


def measure(args: argparse.Namespace) -> None:
  from playwright import sync_api

  address = (pathlib.Path(args.folder).resolve() / page.PAGE).as_uri()
  with sync_api.sync_playwright() as driver:
    browser = driver.chromium.launch(
      executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.add_init_script(OBSERVE)
    began = time.perf_counter()
    tab.goto(address)
    while not tab.evaluate("milan.store.loaded === milan.store.facts.units"):
      tab.wait_for_timeout(20)
    print(f"all units loaded after {time.perf_counter() - began:.1f} s")
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    print(f"first paint {tab.evaluate(paint):.0f} ms")
    tab.wait_for_timeout(1000)
    print(f"longest task while loading {tab.evaluate('longest'):.0f} ms")
    for query in ("d", "dog", "red dog", "wheel wall", "layer3 dog", "zzz"):
      search(tab, query)
    if tab.evaluate("milan.store.facts.vector_width"):
      tab.select_option("select[name=by]", "meaning")
      tab.fill("#query", "wall")
      tab.wait_for_timeout(3000)
      print(f"vectors read and searched {tab.evaluate('milan.searchTime'):.0f} ms")
      for query in (tab.evaluate("milan.store.texts.find(Boolean)"), "dog", "red dog"):
        search(tab, query)
      tab.select_option("select[name=by]", "words")
    tab.fill("#query", "")
    tab.evaluate("longest = 0")
    for choice in ("confidence", "score-0", "text"):
      tab.select_option("select[name=sort]", choice)
      tab.wait_for_timeout(500)
      print(f"order by {choice}: {tab.evaluate('milan.searchTime'):.0f} ms")
    tab.select_option("select[name=sort]", "layer")
    tab.wait_for_timeout(500)
    tab.evaluate("longest = 0")
    for step in range(100):
      tab.mouse.wheel(0, 700 if step < 80 else 40_000)
      tab.wait_for_timeout(30)
    print(f"longest task while scrolling {tab.evaluate('longest'):.0f} ms")
    times = sorted(tab.evaluate(JUMPS))
    print(
      f"a jump redraws in {times[25]:.1f} ms (median of 50), at most {times[-1]:.0f}"
    )
    print(f"cards in the page {tab.locator('ul.cards li').count()}")
    tab.evaluate("longest = 0")
    tab.evaluate("location.hash = '#/layers'")
    tab.wait_for_timeout(1500)
    print(f"layers: longest task {tab.evaluate('longest'):.0f} ms")
    tab.evaluate("longest = 0")
    tab.evaluate("location.hash = '#/unit//layer3/7'")
    tab.wait_for_timeout(2500)
    print(f"a unit's page: longest task {tab.evaluate('longest'):.0f} ms")
    browser.close()


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder")
  parser.add_argument("--units", type=int, default=100_000)
  parser.add_argument("--pictures", type=int, default=200)
  parser.add_argument("--measure", action="store_true")
  parser.add_argument("--keep", action="store_true", help="measure a site built before")
  args = parser.parse_args()
  if not args.keep:
    build(args)
  if args.measure or args.keep:
    measure(args)


if __name__ == "__main__":
  main()
