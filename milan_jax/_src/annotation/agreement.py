"""How alike two descriptions of one unit are, by the content words that they share.

The figure to compare with is that of descriptions of different units: what two texts
share by chance.
"""

import collections
import dataclasses
import statistics
from collections.abc import Iterable, Mapping

from milan_jax._src.annotation.sheet_answers import Answer, is_nothing
from milan_jax._src.annotation.sheet_key import KeyUnit, Place
from milan_jax._src.text.content_words import EMPTY_WORDS
from milan_jax._src.text.wording import said


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
  """How alike the first two descriptions of units are.

  Attributes:
    units: number of units that were described twice.
    f1: mean F1 of the pairs.
    by_chance: mean F1 of each unit's first description with every other unit's second;
      None where there is one unit alone.
    sharing: fraction of pairs that share a content word, or both find nothing.
    both_nothing: number of pairs that both find nothing in common.
    one_nothing: number of pairs of which one does.
  """

  units: int
  f1: float
  by_chance: float | None
  sharing: float
  both_nothing: int
  one_nothing: int

  def line(self) -> str:
    """The agreement in a sentence."""
    chance = ""
    if self.by_chance is not None:
      chance = f" (descriptions of different units: {self.by_chance:.2f})"
    return (
      f"{self.units} units described twice: content-word F1 {self.f1:.2f}{chance}; "
      f"{self.sharing:.0%} share a content word; nothing in common: both "
      f"{self.both_nothing}, one of two {self.one_nothing}"
    )


def content(text: str) -> frozenset[str]:
  """The content words of a description; none where it finds nothing in common."""
  return frozenset() if is_nothing(text) else frozenset(said(text)) - EMPTY_WORDS


def content_f1(one: str, other: str) -> float:
  """F1 of the content words of two descriptions; 1 where neither has any."""
  words, others = content(one), content(other)
  if not words and not others:
    return 1.0
  return 2 * len(words & others) / (len(words) + len(others))


def agreement(
  answers: Iterable[Answer], key: Mapping[Place, KeyUnit]
) -> Agreement | None:
  """Compares the first two descriptions of each unit that were written separately.

  Those are at different places, or in different files.

  Returns:
    The agreement; None where no unit was described twice.
  """
  found: dict[KeyUnit, list[Answer]] = collections.defaultdict(list)
  for answer in answers:
    known = found[key[answer.place]]
    if all((each.place, each.file) != (answer.place, answer.file) for each in known):
      known.append(answer)
  pairs = [(each[0].text, each[1].text) for each in found.values() if len(each) > 1]
  if not pairs:
    return None
  alike = [content_f1(*pair) for pair in pairs]
  unlike = [
    content_f1(one, other)
    for place, (one, _) in enumerate(pairs)
    for second, (_, other) in enumerate(pairs)
    if place != second
  ]
  nothing = [sum(not content(text) for text in pair) for pair in pairs]
  return Agreement(
    units=len(pairs),
    f1=statistics.fmean(alike),
    by_chance=statistics.fmean(unlike) if unlike else None,
    sharing=sum(value > 0 for value in alike) / len(alike),
    both_nothing=nothing.count(2),
    one_nothing=nothing.count(1),
  )
