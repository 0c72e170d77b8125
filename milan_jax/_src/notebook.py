"""How objects show themselves in a notebook: HTML without scripts or links.

A class that derives from `Shown` has `_repr_html_`, which Jupyter calls. `as_html` is
generic: `api/notebooks.py` adds what the classes of other packages look like. All text
is escaped (`notebook.html.jinja`), and pictures are part of the HTML, so that nothing
is fetched.
"""

import base64
import dataclasses
import functools
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from milan_jax._src.templates import macros

# The module that adds the views of other packages' classes, which nothing here may
# import: `milan_jax` names it, and the first object that is shown loads it.
views = ""


class Shown:
  """A class whose objects show themselves in a notebook."""

  __slots__ = ()

  def _repr_html_(self) -> str | None:
    if views:
      importlib.import_module(views)
    found = as_html(self)
    return None if found is None else str(found)


@functools.singledispatch
def as_html(value: object) -> Markup | None:
  """Returns HTML that shows an object; None if the object's text is all there is."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return fields_table(value)
  return None


def _cell(value: object) -> str:
  """Returns a value as text, which the template escapes, or as markup."""
  if isinstance(value, Markup):
    return value
  if isinstance(value, Shown):
    return as_html(value) or repr(value)
  if value is None:
    return ""
  if hasattr(value, "tolist"):  # an array, or a number of one
    value = value.tolist()
  if isinstance(value, tuple | list):
    return ", ".join(map(_cell, value))
  return f"{value:.4g}" if isinstance(value, float) else str(value)


def fields_table(value: Any, **instead: object) -> Markup:
  """Returns a table of a dataclass's fields that are not None.

  Args:
    value: the object.
    instead: what is shown in place of some fields.
  """
  found = {
    field.name: instead.get(field.name, getattr(value, field.name))
    for field in dataclasses.fields(value)
    if field.repr and getattr(value, field.name) is not None
  }
  return pairs(type(value).__name__, found)


def pairs(title: str, values: Mapping[str, object]) -> Markup:
  """Returns a table of two columns below a title."""
  rows = [(name, _cell(value)) for name, value in values.items()]
  return _macro("pairs", title, rows)


def table(
  title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], note: str = ""
) -> Markup:
  """Returns a table with a row of column names.

  Args:
    title: the line above it.
    columns: their names.
    rows: cells of each.
    note: the line below it, such as how many rows are left out; empty for none.
  """
  cells = [[_cell(value) for value in row] for row in rows]
  return _macro("table", title, list(columns), cells, note)


def picture(png: bytes, alt: str, height: int | None = None) -> Markup:
  """Returns a PNG file as an image that is part of the HTML.

  Args:
    png: the file.
    alt: what it shows, in words.
    height: its height on the page, in pixels; None for its own.
  """
  return _macro("picture", base64.b64encode(png).decode(), alt, height)


def confidence_text(value: float | None) -> str:
  """Returns a confidence in percent; empty if it is unknown.

  It is never 0% or 100%: a fitted probability is never certain. `site/elements.js` of
  the catalog writes it in the same way.
  """
  if value is None:
    return ""
  if value >= 0.995:
    return ">99%"
  return "<1%" if value < 0.005 else f"{int(100 * value + 0.5)}%"


def _macro(name: str, *values: object) -> Markup:
  found: Markup = getattr(macros(".", "notebook.html.jinja"), name)(*values)
  return found
