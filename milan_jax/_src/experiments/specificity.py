"""How specific descriptions are: words, distinct texts, rarity of their words."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from milan_jax._src.scores.text_metric import References, plain
from milan_jax._src.text.content_words import EMPTY_WORDS
from milan_jax._src.text.wording import singular

PEOPLE = "people"
_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")


def specificity(
  said: Mapping[str, Sequence[Sequence[str]]], known: References, training: References
) -> dict[str, dict[str, float]]:
  """Measures how specific several ways to describe the same units are.

  Args:
    said: of each way, the descriptions of all units from each trial.
    known: what people wrote; the first annotation of each unit is a way as well.
    training: the captions of the training units, in which words are counted.

  Returns:
    Of each way: `words` of a description; `distinct`, the share of descriptions that
    differ from all earlier ones; `vocabulary`, the number of different content words;
    `rarity`, the mean over descriptions of the mean over content words of the negative
    log of the share of training captions with the word, in nats. Each is the mean over
    trials.
  """
  captions = [_content(text) for texts in training for text in texts]
  counts = Counter(word for words in captions for word in set(words))
  ways = {PEOPLE: [[texts[0] for texts in known]], **said}
  found = {}
  for way, trials in ways.items():
    rows = [_measured(texts, counts, len(captions)) for texts in trials]
    found[way] = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
  return found


def _measured(
  texts: Sequence[str], counts: Counter[str], captions: int
) -> dict[str, float]:
  words = [_content(text) for text in texts]
  rarities = [
    sum(math.log((captions + 1) / (counts[word] + 1)) for word in own) / len(own)
    for own in words
    if own
  ]
  return {
    "words": sum(len(_WORD.findall(plain(text))) for text in texts) / len(texts),
    "distinct": len({plain(text) for text in texts}) / len(texts),
    "vocabulary": float(len({word for own in words for word in own})),
    "rarity": sum(rarities) / len(rarities) if rarities else 0.0,
  }


def _content(text: str) -> list[str]:
  stems = (singular(word) for word in _WORD.findall(plain(text)))
  return [stem for stem in stems if stem not in EMPTY_WORDS]
