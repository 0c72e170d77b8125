"""Finds and corrects misspelled words of answers, with pyspellchecker's dictionary.

A word is looked at if it has `SHORTEST` or more letters, all of them lower case but for
the first of a sentence, so that names are left alone. It is
misspelled if the dictionary has neither it nor the word of which it is a plural. There
is a proposal if just one word of the dictionary is a letter away (one added, left out,
exchanged, or two swapped) and this word is common: `COMMON` or more of all words. The
dictionary is small, and unknown words are often compounds or names: corrections are
printed, and none are made unless they are asked for.
"""

import collections
import re
from collections.abc import Iterable, Mapping

from milan_jax._src.errors import UserError

SHORTEST = 4
# One word in a million.
COMMON = 1e-6
# Not parts of compounds with hyphens, nor of words with apostrophes, in either form.
_JOINED = r"[\w'\u2019-]"
_LETTERS = rf"(?:(?:^|(?<=\. ))[A-Z][a-z]{{{SHORTEST - 1},}}|[a-z]{{{SHORTEST},}})"
_WORD = re.compile(rf"(?<!{_JOINED}){_LETTERS}(?!{_JOINED})")


def misspelled(texts: Iterable[str]) -> dict[str, tuple[int, str | None]]:
  """Finds the misspelled words of texts.

  Returns:
    Of each word how often it is written, and the word that is meant, or None if that is
    not clear; frequent words first.

  Raises:
    UserError: if pyspellchecker is not installed.
  """
  try:
    from spellchecker import SpellChecker
  except ImportError as error:
    raise UserError(
      "--spelling needs pyspellchecker: pip install 'milan-jax[annotate]'."
    ) from error
  written = collections.Counter(
    word.lower() for text in texts for word in _WORD.findall(text)
  )
  # A dictionary for words at one letter's distance.
  known = SpellChecker(distance=1)
  found: dict[str, tuple[int, str | None]] = {}
  for word, number in sorted(written.items(), key=lambda one: (-one[1], one[0])):
    if word in known or _is_plural(word, known):
      continue
    near = known.candidates(word) or ()
    common = [one for one in near if known.word_usage_frequency(one) >= COMMON]
    found[word] = number, common[0] if len(near) == len(common) == 1 else None
  return found


def _is_plural(word: str, known: Iterable[str]) -> bool:
  return word.endswith("s") and (word[:-1] in known or word.removesuffix("es") in known)


def corrected(text: str, proposals: Mapping[str, str]) -> str:
  """Replaces the words of a text for which there are proposals, by lower-case word."""

  def replaced(found: re.Match[str]) -> str:
    word = found[0]
    meant = proposals.get(word.lower())
    if meant is None:
      return word
    return meant.capitalize() if word[0].isupper() else meant

  return _WORD.sub(replaced, text)
