"""Display of file names, which are not always valid UTF-8."""

import re

# Python represents the invalid bytes of a file name as surrogates. They cannot be
# encoded as UTF-8, only as a file name.
_SURROGATES = re.compile("[\ud800-\udfff]")


def shown(text: str) -> str:
  """Returns text for display, with invalid bytes replaced by U+FFFD."""
  return _SURROGATES.sub("\ufffd", text)


def escaped(json: str) -> str:
  """Escapes invalid bytes in a JSON text, so it is valid UTF-8 and reads the same."""
  return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", json)
