"""The nouns of WordNet 3.0: names of a thing, and what it is a kind of.

A synset's id is `n` and the byte offset of its line in `data.noun`, eight digits. In
WordNet 3.0 these are ImageNet's ids.

Source: wndb(5WN), the manual page of WordNet's files.
"""

import os
import pathlib
import re

from milan_jax._src.errors import UserError

PACKAGE = "wordnet-base"
FILE = "usr/share/wordnet/data.noun"

_ID = re.compile(r"n(\d{8})")
_PARENTS = ("@", "@i")  # a kind of, an instance of


class WordNet:
  """Reads `data.noun`, which it holds in memory (15 MB).

  Args:
    folder: the unpacked package, which holds `usr`.

  Raises:
    UserError: if the file is missing.
  """

  def __init__(self, folder: str | os.PathLike[str]):
    self._path = pathlib.Path(folder) / FILE
    try:
      self._content = self._path.read_bytes()
    except OSError as error:
      raise UserError(
        f"{self._path} cannot be read ({error.strerror}): expected the unpacked "
        f"package {PACKAGE}. Remove {folder} and run the same command again."
      ) from error

  def lemmas(self, wnid: str) -> tuple[str, ...]:
    """The words for a synset, the usual one first, with spaces in them.

    Raises:
      KeyError: if there is no such synset.
    """
    fields = self._fields(wnid)
    count = int(fields[3], 16)
    # Each word is followed by a number.
    return tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])

  def hypernyms(self, wnid: str) -> tuple[str, ...]:
    """What a synset is a kind of, nearest first, up to `entity`.

    Where a synset has several parents, the chain goes by the first.

    Raises:
      KeyError: if there is no such synset.
    """
    chain = []
    while parent := self._parent(wnid):
      chain.append(parent)
      wnid = parent
    return tuple(chain)

  def _parent(self, wnid: str) -> str:
    fields = self._fields(wnid)
    first = 4 + 2 * int(fields[3], 16)
    # Each pointer has a symbol, an offset, a part of speech and two word numbers.
    for start in range(first + 1, first + 1 + 4 * int(fields[first]), 4):
      if fields[start] in _PARENTS:
        return f"n{fields[start + 1]}"
    return ""

  def _fields(self, wnid: str) -> list[str]:
    found = _ID.fullmatch(wnid)
    offset = int(found[1]) if found else len(self._content)
    end = self._content.find(b"\n", offset)
    line = self._content[offset : end if end >= 0 else None].decode("utf-8", "replace")
    if not found or not line.startswith(f"{found[1]} "):
      raise KeyError(
        f"{wnid} is no noun of {self._path}: expected an id of WordNet 3.0, such as "
        "n02084071"
      )
    return line.split(" | ")[0].split()
