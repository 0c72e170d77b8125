"""Tokens to sentences."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax.text import vocabulary as vocabularies

_BEFORE_PUNCTUATION = re.compile(r"\s+(?=[,.:;!?])")
_AROUND_DASH = re.compile(r"\s*-\s*")


def reconstruct(tokens: Iterable[str]) -> str:
  """Joins tokens into sentences.

  Spaces go before punctuation and around hyphens, and what follows a full stop starts
  with a capital. Every full stop ends a sentence, those of abbreviations too: "u.s."
  becomes "U. S.", as in the published descriptions.

  Args:
    tokens: ordinary tokens of one caption, no special ones among them.
  """
  text = _BEFORE_PUNCTUATION.sub("", " ".join(tokens))
  text = _AROUND_DASH.sub("-", text)
  sentences = [sentence.strip() for sentence in text.split(".")]
  return ". ".join(s[:1].upper() + s[1:] for s in sentences).strip()


def reconstruct_ids(
  ids: Sequence[int] | Int[np.ndarray, "length"],
  vocabulary: vocabularies.Vocabulary,
) -> str:
  """Joins the tokens of `ids` into sentences: cut at the first stop, no specials."""
  return reconstruct(vocabulary.decode(ids))
