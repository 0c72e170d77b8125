"""HTML from Jinja templates, in which all text is escaped.

Jinja is imported when a template is first used: most commands write no HTML.
"""

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  import jinja2


@functools.cache
def templates(folder: str) -> "jinja2.Environment":
  """Returns the templates of a folder.

  Args:
    folder: relative to the package's sources, such as `app`; `.` for the top.
  """
  import jinja2

  return jinja2.Environment(
    loader=jinja2.PackageLoader("milan_jax._src", folder),
    autoescape=True,
    finalize=_encodable,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
  )


def macros(folder: str, name: str) -> Any:
  """Returns the macros of a template as functions that return markup.

  Args:
    folder: as for `templates`.
    name: file name of the template.
  """
  return templates(folder).get_template(name).module


def _encodable(value: object) -> object:
  """Replaces the invalid bytes of file names by question marks."""
  if not isinstance(value, str):
    return value
  # Markup stays markup.
  return type(value)(value.encode("utf-8", "replace").decode("utf-8"))
