"""The two judges, both mechanical: what is true of a unit, and whether it is said.

The lenient judge asks for one word of those that are true; the strict one for a word
of every group, such as one for the color and one for the shape.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.text.wording import is_refusal, normalized, phrases, said


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
  """What is true of a unit.

  Attributes:
    name: for people, such as "dog heads".
    lenient: words and phrases, one of which is enough.
    strict: groups of them; one of each group is needed.
    references: sentences that would be good descriptions, for similarity; the name if
      there are none.
    negative: there is nothing to say of the unit, and that is the right answer.
  """

  name: str
  lenient: frozenset[str] = frozenset()
  strict: tuple[frozenset[str], ...] = ()
  references: tuple[str, ...] = ()
  negative: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
  """What the judges say of one description.

  Attributes:
    lenient: right by the lenient judge.
    strict: right by the strict judge, which no description is that the other rejects.
    refused: it says that there is no clear pattern.
  """

  lenient: bool
  strict: bool
  refused: bool


def judge(description: str, truth: Truth) -> Verdict:
  """Judges a description.

  That there is no clear pattern is right of a unit of nothing, and nothing else is; of
  any other unit it is wrong.
  """
  refused = is_refusal(description)
  if truth.negative or refused:
    right = truth.negative and refused
    return Verdict(right, right, refused)
  return judge_phrases(phrases(said(description)), truth)


def judge_phrases(spoken: frozenset[tuple[str, ...]], truth: Truth) -> Verdict:
  """Judges what `wording.phrases` makes of a description that refuses nothing."""
  if truth.negative:
    return Verdict(False, False, False)
  lenient = not spoken.isdisjoint(normalized(truth.lenient))
  strict = lenient and not any(
    spoken.isdisjoint(normalized(group)) for group in truth.strict
  )
  return Verdict(lenient, strict, False)


def read_truth(entry: Mapping[str, Any], where: str) -> Truth:
  """A truth from JSON: `concept`, `lenient`, `strict`, `references`, `negative`.

  Raises:
    UserError: if a field is missing or of the wrong kind.
  """
  try:
    negative = bool(entry.get("negative", False))
    lenient = frozenset(str(word) for word in entry.get("lenient", ()))
    if not lenient and not negative:
      raise KeyError("lenient")
    return Truth(
      name=str(entry["concept"]),
      lenient=lenient,
      strict=tuple(frozenset(group) for group in entry.get("strict", ())),
      references=tuple(entry.get("references", ())),
      negative=negative,
    )
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(
      f"{where}: expected an object with concept, lenient, strict and references, and "
      f"found none of these to be right ({error}): build the corpus again."
    ) from error
