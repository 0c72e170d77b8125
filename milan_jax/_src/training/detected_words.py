"""The words that a captioner's word detectors learn, and which units have them."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.text.content_words import content_stems
from milan_jax._src.training.batches import Samples

# Words of fewer units, or of all, have no detector.
FEWEST = 2


def words_of_units(
  captions: Sequence[Iterable[Iterable[str]]], tokens: Sequence[str]
) -> list[frozenset[str]]:
  """Returns the content words that each unit's captions have.

  Args:
    captions: the tokens of each caption of each unit.
    tokens: the vocabulary; words of other tokens are left out.
  """
  stems = dict(zip(tokens, content_stems(tokens), strict=True))
  return [
    frozenset(
      stem for caption in unit for token in caption if (stem := stems.get(token))
    )
    for unit in captions
  ]


def detected_words(
  said: Sequence[frozenset[str]], units: Iterable[int]
) -> tuple[str, ...]:
  """Returns the words that enough units have and not all, sorted.

  Args:
    said: the words of each unit.
    units: the units to learn from, as places in `said`.
  """
  counts: dict[str, int] = {}
  rows = list(units)
  for row in rows:
    for word in said[row]:
      counts[word] = counts.get(word, 0) + 1
  return tuple(
    sorted(word for word, count in counts.items() if FEWEST <= count < len(rows))
  )


def word_samples(
  said: Sequence[frozenset[str]], words: Sequence[str], rows: Sequence[int]
) -> Samples:
  """Returns one sample for each unit: the numbers of its words.

  A row of `tokens` is `len(words)`, the numbers of the unit's words, and `len(words)`
  again; it is padded with `len(words) + 1`.

  Args:
    said: the words of each unit.
    words: those that have a detector, in their order.
    rows: the units to use; one that occurs twice has two samples.
  """
  places = {word: place for place, word in enumerate(words)}
  limit, padding = len(words), len(words) + 1
  found = {
    row: [limit, *sorted(places[word] for word in said[row] if word in places), limit]
    for row in set(rows)
  }
  longest = max((len(each) for each in found.values()), default=2)
  tokens = np.full((len(rows), longest), padding, np.int32)
  for place, row in enumerate(rows):
    tokens[place, : len(found[row])] = found[row]
  return Samples(tokens, np.asarray(rows, np.int64))


def log_odds(samples: Samples, num_words: int) -> Float[np.ndarray, "words"]:
  """Returns the log-odds that a sample has each word, with half a sample added to each.

  Args:
    samples: those of `word_samples`.
    num_words: number of words with a detector.
  """
  counts: Int[np.ndarray, "words"] = np.bincount(
    samples.tokens.ravel(), minlength=num_words
  )[:num_words]
  others = len(samples.rows) - counts
  return np.log((counts + 0.5) / (others + 0.5)).astype(np.float32)
