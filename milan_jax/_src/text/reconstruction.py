"""Tokens to sentences."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.text import vocabulary as vocabularies

_BEFORE_PUNCTUATION = re.compile(r"\s+(?=[,.:;])")
_BEFORE_EXCLAMATION = re.compile(r"\s+(?=[!?])")
_AROUND_DASH = re.compile(r"\s*-\s*")
# What spaCy cuts off a word is joined to a word again, and to nothing else.
_BEFORE_CLITIC = re.compile("(?<=\\w) (?=(?:n['\u2019]t|['\u2019](?:s|re|ve|ll|d|m)) )")


def reconstruct(tokens: Iterable[str], *, parity: bool = False) -> str:
  """Joins tokens into sentences.

  Spaces before `. , ; :` and around hyphens are removed, and what follows a full stop
  starts with a capital. Every full stop ends a sentence, those of abbreviations too:
  "u.s." becomes "U. S.", as in the published descriptions.

  The original stops there: "A person 's face", "What ?". By default the spaces before
  `!` and `?` are removed too, and so are those before the ends of words that are tokens
  of their own ('s, n't, 're, 've, 'll, 'd, 'm): "A person's face", "What?".

  Args:
    tokens: ordinary tokens of one caption, no special ones among them.
    parity: join exactly as the original does.
  """
  text = " ".join(tokens)
  if not parity:
    # The space behind the last token lets a clitic end the text.
    text = _BEFORE_CLITIC.sub("", text + " ")
    text = _BEFORE_EXCLAMATION.sub("", text)
  text = _BEFORE_PUNCTUATION.sub("", text)
  text = _AROUND_DASH.sub("-", text)
  sentences = [sentence.strip() for sentence in text.split(".")]
  return ". ".join(s[:1].upper() + s[1:] for s in sentences).strip()


def reconstruct_ids(
  ids: Sequence[int] | Int[np.ndarray, "length"],
  vocabulary: vocabularies.Vocabulary,
  *,
  parity: bool = False,
) -> str:
  """Joins the tokens of `ids` into sentences: cut at the first stop, no specials."""
  return reconstruct(vocabulary.decode(ids), parity=parity)
