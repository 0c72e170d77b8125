"""How objects show themselves in a notebook: HTML without scripts or links.

A class that derives from `Shown` has `_repr_html_`, which Jupyter calls. `as_html` is
generic: `api/notebooks.py` adds what the classes of other packages look like. All text
is escaped, and pictures are part of the HTML, so that nothing is fetched.
"""

import base64
import dataclasses
import functools
import html
from collections.abc import Iterable, Mapping
from typing import Any

_TABLE = '<table style="text-align:left">'


class Markup(str):
  """Text that is HTML already."""

  __slots__ = ()


class Shown:
  """A class whose objects show themselves in a notebook."""

  __slots__ = ()

  def _repr_html_(self) -> str | None:
    found = as_html(self)
    return None if found is None else str(found)


@functools.singledispatch
def as_html(value: object) -> Markup | None:
  """Returns HTML that shows an object; None if the object's text is all there is."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return fields_table(value)
  return None


def cell(value: object) -> Markup:
  """Returns a value as HTML: markup unchanged, other text escaped."""
  if isinstance(value, Markup):
    return value
  if dataclasses.is_dataclass(value) and not isinstance(value, type | Shown):
    return Markup(escaped(repr(value)))
  if isinstance(value, Shown):
    return as_html(value) or Markup(escaped(repr(value)))
  if value is None:
    return Markup("")
  if isinstance(value, float):
    return Markup(f"{value:.4g}")
  return Markup(escaped(str(value)))


def escaped(text: str) -> str:
  """Returns text as HTML; invalid bytes of file names become question marks."""
  return html.escape(text.encode("utf-8", "replace").decode())


def fields_table(value: Any) -> Markup:
  """Returns a table of a dataclass's fields that are not None."""
  found = {
    field.name: getattr(value, field.name)
    for field in dataclasses.fields(value)
    if field.repr and getattr(value, field.name) is not None
  }
  return pairs(type(value).__name__, found)


def pairs(title: str, values: Mapping[str, object]) -> Markup:
  """Returns a table of two columns below a title."""
  rows = "".join(
    f"<tr><th>{cell(name)}</th><td>{cell(value)}</td></tr>"
    for name, value in values.items()
  )
  return Markup(f"<b>{cell(title)}</b>{_TABLE}<tbody>{rows}</tbody></table>")


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
  head = "".join(f"<th>{cell(name)}</th>" for name in columns)
  body = "".join(
    "<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>"
    for row in rows
  )
  below = f"<p>{cell(note)}</p>" if note else ""
  return Markup(
    f"<b>{cell(title)}</b>{_TABLE}<thead><tr>{head}</tr></thead>"
    f"<tbody>{body}</tbody></table>{below}"
  )


def picture(png: bytes, alt: str, height: int | None = None) -> Markup:
  """Returns a PNG file as an image that is part of the HTML.

  Args:
    png: the file.
    alt: what it shows, in words.
    height: its height on the page, in pixels; None for its own.
  """
  data = base64.b64encode(png).decode()
  size = f' height="{height}"' if height else ""
  return Markup(
    f'<img alt="{escaped(alt)}"{size} src="data:image/png;base64,{data}" '
    'style="max-width:none">'
  )


def percent(value: float | None) -> str:
  """Returns a probability in percent; empty if it is unknown."""
  return "" if value is None else f"{value:.0%}"
