"""Tokens to sentences."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.text import vocabulary as vocabularies

_BEFORE_PUNCTUATION = re.compile(r"\s+(?=[,.:;])")
_BEFORE_EXCLAMATION = re.compile(r"\s+(?=[!?])")
_AROUND_DASH = re.compile(r"\s*-\s*")
# Joins a clitic that spaCy split off, but only to a preceding word.
_BEFORE_CLITIC = re.compile("(?<=\\w) (?=(?:n['\u2019]t|['\u2019](?:s|re|ve|ll|d|m)) )")


def reconstruct(tokens: Iterable[str], *, parity: bool = False) -> str:
  """Joins tokens into sentences.

  Removes spaces before `. , ; :` and around hyphens, and capitalizes the first word of
  each sentence. Every full stop ends a sentence, also in abbreviations: "u.s." becomes
  "U. S.", as in the published descriptions.

  The original does no more: "A person 's face", "What ?". The default also removes
  spaces before `!` and `?` and before clitics that are separate tokens ('s, n't, 're,
  've, 'll, 'd, 'm): "A person's face", "What?".

  Args:
    tokens: ordinary tokens of one caption, without special tokens.
    parity: join exactly as the original does.
  """
  text = " ".join(tokens)
  if not parity:
    # The trailing space lets the pattern match a clitic at the end of the text.
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
  """Joins the tokens of `ids` before the first stop; drops special tokens."""
  return reconstruct(vocabulary.decode(ids), parity=parity)
