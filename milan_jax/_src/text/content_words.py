"""The words of a description that carry its meaning.

Paraphrases such as "edges of black things that go up and down" and "vertical black
edges" share their content words and little else.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from milan_jax._src.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from milan_jax._src.text.wording import singular

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


class ContentWords(NamedTuple):
  """The content words of a vocabulary.

  Attributes:
    ids: for each token, special tokens included, the id of its content word. Singular
      and plural share one id; 0 marks a token without a content word.
    nothing: the token ids of each description that reports no pattern, padded with the
      stop token. All of them count as the same description.
  """

  ids: Int[np.ndarray, "vocab"]
  nothing: Int[np.ndarray, "sayings length"]


def content_words(
  vocabulary: Vocabulary, *, nothing: Iterable[str], length: int
) -> ContentWords:
  """Finds the content words of a vocabulary.

  Args:
    vocabulary: the tokens.
    nothing: descriptions that report no pattern, in lower case, tokens separated by
      spaces. Those with a token outside the vocabulary are left out.
    length: maximum number of tokens in a description.
  """
  stems = [singular(token.lower()) for token in vocabulary.tokens]
  kept = sorted({stem for stem in stems if stem.isalpha()} - EMPTY_WORDS)
  numbers = {stem: place for place, stem in enumerate(kept, 1)}
  ids = [numbers.get(stem, 0) for stem in stems] + [0] * len(SPECIAL_TOKENS)
  rows = []
  for saying in nothing:
    tokens = saying.split()
    if len(tokens) <= length and all(token in vocabulary for token in tokens):
      known = vocabulary.encode(tokens, start=False, stop=False)
      rows.append(known + [vocabulary.stop_id] * (length - len(tokens)))
  found = np.array(rows, np.int32).reshape(len(rows), length)
  return ContentWords(np.array(ids, np.int32), found)
