"""Agreement between two descriptions of a unit, by shared content words.

The baseline is the agreement by chance: that of descriptions of different units.
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
  """Agreement between the first two descriptions of units.

  Attributes:
    units: number of units with two descriptions.
    f1: mean F1 of the two descriptions of a unit.
    by_chance: mean F1 of each unit's first description with every other unit's second;
      None if there is only one unit.
    sharing: fraction of pairs that share a content word or both find nothing in common.
    both_nothing: number of pairs in which both find nothing in common.
    one_nothing: number of pairs in which only one finds nothing in common.
  """

  units: int
  f1: float
  by_chance: float | None
  sharing: float
  both_nothing: int
  one_nothing: int

  def line(self) -> str:
    """Returns the agreement as one line of text."""
    chance = ""
    if self.by_chance is not None:
      chance = f" (descriptions of different units: {self.by_chance:.2f})"
    return (
      f"units described twice: {self.units}; content-word F1 {self.f1:.2f}{chance}; "
      f"{self.sharing:.0%} share a content word; nothing in common: both answers "
      f"{self.both_nothing}, one of the two {self.one_nothing}"
    )


def content(text: str) -> frozenset[str]:
  """Returns a description's content words; none if it finds nothing in common."""
  return frozenset() if is_nothing(text) else frozenset(said(text)) - EMPTY_WORDS


def content_f1(one: str, other: str) -> float:
  """Returns the F1 of two descriptions' content words; 1 if neither has any."""
  words, others = content(one), content(other)
  if not words and not others:
    return 1.0
  return 2 * len(words & others) / (len(words) + len(others))


def agreement(
  answers: Iterable[Answer], key: Mapping[Place, KeyUnit]
) -> Agreement | None:
  """Compares the first two descriptions of each unit that were written separately.

  Such descriptions are at different places on the sheets or in different files.

  Returns:
    The agreement; None if no unit has two descriptions.
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
