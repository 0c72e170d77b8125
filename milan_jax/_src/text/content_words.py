"""The words of a description that carry its meaning.

Paraphrases such as "edges of black things that go up and down" and "vertical black
edges" share their content words and little else.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from milan_jax._src.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from milan_jax._src.text.wording import says_nothing, singular
from milan_jax._src.text.wording import tokens as spoken_tokens

# Function words, and nouns and adjectives that fit any unit.
EMPTY_WORDS = frozenset(
  """
  a an the this that these those its it there is are be been have has such
  of and or in on at to with from by for as into where but either also well like look
  all any some many few one each together various kind different other
  thing area object part region place surface picture image scene
  color colored go going run
  """.split()
)

# Words that say that a unit shows more than one thing, or the picture as such. Most are
# empty; alone, the others say no more.
VARIETY = frozenset(
  """
  all many various kind different other picture image scene
  random unrelated
  """.split()
)


class ContentWords(NamedTuple):
  """The content words of a vocabulary.

  Attributes:
    ids: for each token, special tokens included, the id of its content word. Singular
      and plural share one id; 0 marks a token without a content word.
    nothing: the token ids of each description that reports no pattern, padded with the
      stop token. All of them count as the same description.
    detectors: for each token, the number of its word detector, from 1; 0 for none.
    variety: for each token, whether its word is one of `VARIETY`.
  """

  ids: Int[np.ndarray, "vocab"]
  nothing: Int[np.ndarray, "sayings length"]
  detectors: Int[np.ndarray, "vocab"]
  variety: Bool[np.ndarray, "vocab"]


def content_words(
  vocabulary: Vocabulary,
  *,
  nothing: Iterable[str],
  length: int,
  detected: Sequence[str] = (),
) -> ContentWords:
  """Finds the content words of a vocabulary.

  Args:
    vocabulary: the tokens.
    nothing: descriptions that report no pattern, in lower case, tokens separated by
      spaces. Those with a token outside the vocabulary are left out.
    length: maximum number of tokens in a description.
    detected: the content words that have detectors, in their order.
  """
  stems = content_stems(vocabulary.tokens)
  kept = sorted({stem for stem in stems if stem})
  ids = _numbers(stems, kept)
  rows = []
  for saying in nothing:
    tokens = saying.split()
    if len(tokens) <= length and all(token in vocabulary for token in tokens):
      known = vocabulary.encode(tokens, start=False, stop=False)
      rows.append(known + [vocabulary.stop_id] * (length - len(tokens)))
  found = np.array(rows, np.int32).reshape(len(rows), length)
  return ContentWords(ids, found, _numbers(stems, detected), _variety(vocabulary))


def content_stems(tokens: Iterable[str]) -> list[str]:
  """Returns the content word of each token; an empty one for tokens without."""
  stems = [singular(token.lower()) for token in tokens]
  return [stem if stem.isalpha() and stem not in EMPTY_WORDS else "" for stem in stems]


def fits_any_unit(description: str) -> bool:
  """Returns whether a description says only that a unit shows various things.

  It has one of `VARIETY`, and no other content word: "Various kinds of things", "Parts
  of pictures", "Random parts of things".
  """
  found = spoken_tokens(description)
  stems = {singular(word) for word in found}
  return bool(stems & VARIETY) and set(content_stems(found)) <= VARIETY | {""}


def describes_nothing(description: str, sayings: Iterable[str]) -> bool:
  """Returns whether a description says nothing of its unit, or what fits any.

  Args:
    description: the description.
    sayings: descriptions of no pattern, in lower case.
  """
  return says_nothing(description, sayings) or fits_any_unit(description)


def _variety(vocabulary: Vocabulary) -> Bool[np.ndarray, "vocab"]:
  stems = [singular(token.lower()) for token in vocabulary.tokens]
  return np.array([stem in VARIETY for stem in stems] + [False] * len(SPECIAL_TOKENS))


def _numbers(stems: Sequence[str], words: Sequence[str]) -> Int[np.ndarray, "vocab"]:
  """Returns the place of each token's word, from 1; 0 for none and special tokens."""
  places = {word: place for place, word in enumerate(words, 1)}
  found = [places.get(stem, 0) for stem in stems]
  return np.array(found + [0] * len(SPECIAL_TOKENS), np.int32)
