"""The site's page, from its template, and the style and scripts beside it."""

import importlib.resources
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from milan_jax._src.files.atomic import write_text
from milan_jax._src.templates import templates

FILES = "files.json"
# In the order in which the page runs them.
SCRIPTS = (
  *(
    "store.js",
    "search.js",
    "elements.js",
    "list.js",
    "activations.js",
    "unit.js",
    "layers.js",
  ),
  *("compare.js", "app.js"),
)
ASSETS = ("site.css", *SCRIPTS)
_TEMPLATE = "index.html.jinja"


def site_page(facts: Mapping[str, Any]) -> str:
  """Returns the page; all text is escaped."""
  template = templates("catalog/site").get_template(_TEMPLATE)
  return template.render(site=facts, scripts=SCRIPTS)


def copy_assets(folder: pathlib.Path) -> None:
  """Copies the style and the scripts into a site, and lists all of its files."""
  for name in ASSETS:
    write_text(folder / name, _asset(name))
  names = sorted(
    path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
  )
  write_text(folder / FILES, json.dumps(names, indent=0) + "\n")


def _asset(name: str) -> str:
  folder = importlib.resources.files("milan_jax._src.catalog") / "site"
  return folder.joinpath(name).read_text(encoding="utf-8")
