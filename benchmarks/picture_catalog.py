"""Takes the README's pictures of a catalog, in headless Chromium.

  python describe.py
  python benchmarks/picture_catalog.py runs/describe --out docs/images

Writes `catalog-search.jpg`, the list for a search; `catalog-unit.jpg`, the page of a
unit; and `catalog-layers.jpg`, the overview of layers, in dark. The unit is the one
with the highest confidence whose description has `--query`, or the one that is named.
Needs the Python package playwright and an installed Chromium.
"""

import argparse
import io
import json
import pathlib
import shutil
import urllib.parse
from collections.abc import Mapping
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

WIDTH = 1200
# Height of the window, which is the picture's, in pixels.
HEIGHTS = {"search": 760, "unit": 1330, "layers": 1000}
LOADED = "milan.store.loaded === milan.store.facts.units"


def link(unit: Mapping[str, Any]) -> str:
  """Returns the address of a unit in the catalog of one run."""
  layer = urllib.parse.quote(unit["layer"], safe="")
  return f"#/unit//{layer}/{unit['unit']}" + ("-off" if unit["sign"] == "off" else "")


def choose(folder: pathlib.Path, query: str) -> str:
  """Returns the link of the most certain unit whose description has the query."""
  units = json.loads((folder / "catalog.json").read_text(encoding="utf-8"))["units"]
  described = [unit for unit in units if not unit["dead"] and not unit["guess"]]
  fits = [unit for unit in described if query.lower() in unit["description"].lower()]
  return link(max(fits or described, key=lambda unit: unit["confidence"] or 0))


def picture(browser: Browser, address: str, scheme: str, height: int) -> Image.Image:
  """Opens a view of a catalog and returns what the window shows."""
  tab = browser.new_page(
    viewport={"width": WIDTH, "height": height}, color_scheme=scheme
  )
  tab.goto(address)
  while not tab.evaluate(LOADED):
    tab.wait_for_timeout(50)
  tab.wait_for_timeout(1500)  # for the pictures, and what is related to a unit
  shot = Image.open(io.BytesIO(tab.screenshot()))
  tab.close()
  return shot.convert("RGB")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", help="run directory with a catalog")
  parser.add_argument("--out", default="docs/images", help="where to")
  parser.add_argument("--query", default="line", help="what is searched for")
  parser.add_argument("--unit", help="LAYER/UNIT of the unit; default: see above")
  args = parser.parse_args()
  folder = pathlib.Path(args.folder).resolve()
  if args.unit:
    layer, _, unit = args.unit.rpartition("/")
    place = f"#/unit//{urllib.parse.quote(layer, safe='')}/{unit}"
  else:
    place = choose(folder, args.query)
  query = urllib.parse.urlencode({"q": args.query, "sort": "confidence"})
  views = {
    "search": (f"#/?{query}", "light"),
    "unit": (place, "light"),
    "layers": ("#/layers", "dark"),
  }
  with sync_playwright() as driver:
    browser = driver.chromium.launch(
      executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    for name, (view, scheme) in views.items():
      address = (folder / "index.html").as_uri() + view
      path = pathlib.Path(args.out) / f"catalog-{name}.jpg"
      picture(browser, address, scheme, HEIGHTS[name]).save(path, quality=85)
      print(f"{path}: {view}")
    browser.close()


if __name__ == "__main__":
  main()
