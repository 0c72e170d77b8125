"""The index of a site's words, made at build time: which texts have which word."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from milan_jax._src.catalog.columns import encoded

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
  """Returns a text's words, as the site's search finds them."""
  return _WORD.findall(unicodedata.normalize("NFC", text.lower()))


def word_index(texts: Iterable[str]) -> dict[str, Any]:
  """Indexes texts by their words.

  Returns:
    `words`: all words, sorted by UTF-16 code units; `counts`: how many texts have each;
    and `texts`: the numbers of these texts, each as the difference from the one before,
    in base 128 with the high bit set on all digits but the last, lowest first.
  """
  places: dict[str, list[int]] = {}
  for number, text in enumerate(texts):
    for word in dict.fromkeys(words_of(text)):
      places.setdefault(word, []).append(number)
  stream = bytearray()
  # In the order of JavaScript's comparison of strings.
  words = sorted(places, key=lambda word: word.encode("utf-16-be", "surrogatepass"))
  for word in words:
    last = 0
    for number in places[word]:
      step, last = number - last, number
      while step > 127:
        stream.append(step & 127 | 128)
        step >>= 7
      stream.append(step)
  return {
    "words": words,
    "counts": [len(places[word]) for word in words],
    "texts": encoded(bytes(stream)),
  }
