"""Names of files for people to read: on some disks not all of them are UTF-8."""

import re

# What Python keeps bytes of such names in, as old archives and cameras leave them. It
# can be written nowhere but in the name of a file.
_SURROGATES = re.compile("[\ud800-\udfff]")


def shown(text: str) -> str:
  """A name, or a text with names in it; bytes that are not letters get a mark."""
  return _SURROGATES.sub("\ufffd", text)


def escaped(json: str) -> str:
  """A JSON text that can be written in UTF-8, and that is read as the same names."""
  return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", json)
