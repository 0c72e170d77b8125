"""The site's page, from its template, and the style and scripts beside it."""

import importlib.resources
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jinja2
import markupsafe

from milan_jax._src.files.atomic import write_text

FILES = "files.json"
# In the order in which the page runs them.
SCRIPTS = (
  *("store.js", "search.js", "elements.js", "list.js", "unit.js", "layers.js"),
  *("compare.js", "app.js"),
)
ASSETS = ("site.css", *SCRIPTS)
_TEMPLATE = "index.html.jinja"


def site_page(facts: Mapping[str, Any]) -> str:
  """Returns the page; all text is escaped."""
  environment = jinja2.Environment(
    loader=jinja2.FunctionLoader(_asset),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
  )
  environment.filters |= {"prose": _prose, "thousands": "{:,}".format}
  page = environment.get_template(_TEMPLATE).render(site=facts, scripts=SCRIPTS)
  return page.encode("utf-8", "replace").decode("utf-8")


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


def _prose(text: str) -> markupsafe.Markup:
  """Escapes text and formats the parts between backticks as code."""
  escaped = str(markupsafe.escape(text))
  return markupsafe.Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped))
