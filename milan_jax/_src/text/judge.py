"""Two mechanical judges: does a description state what is true of its unit?

The lenient judge accepts a description that contains any true word or phrase. The
strict judge requires one from every group, such as one for the color and one for the
shape.
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
    name: shown to people, such as "dog heads".
    lenient: words and phrases; one of them is enough.
    strict: groups of words and phrases; one from each group is needed.
    references: good descriptions, to which similarity is measured; `name` is used if
      there are none.
    negative: the unit has no pattern, and reporting that is the right answer.
  """

  name: str
  lenient: frozenset[str] = frozenset()
  strict: tuple[frozenset[str], ...] = ()
  references: tuple[str, ...] = ()
  negative: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
  """The judges' verdict on one description.

  Attributes:
    lenient: right by the lenient judge.
    strict: right by the strict judge; only possible if `lenient` is true.
    refused: the description reports that there is no clear pattern.
  """

  lenient: bool
  strict: bool
  refused: bool


def judge(description: str, truth: Truth) -> Verdict:
  """Judges a description.

  "No clear pattern" is the only right answer for a negative unit, and a wrong answer
  for every other unit.
  """
  refused = is_refusal(description)
  if truth.negative or refused:
    right = truth.negative and refused
    return Verdict(right, right, refused)
  return judge_phrases(phrases(said(description)), truth)


def judge_phrases(spoken: frozenset[tuple[str, ...]], truth: Truth) -> Verdict:
  """Judges the result of `wording.phrases` for a description that is not a refusal."""
  if truth.negative:
    return Verdict(False, False, False)
  lenient = not spoken.isdisjoint(normalized(truth.lenient))
  strict = lenient and not any(
    spoken.isdisjoint(normalized(group)) for group in truth.strict
  )
  return Verdict(lenient, strict, False)


def read_truth(entry: Mapping[str, Any], where: str) -> Truth:
  """Reads a truth from JSON: `concept`, `lenient`, `strict`, `references`, `negative`.

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
      f"{where}: expected an object with concept, lenient, strict and references, but "
      f"one of these is missing or has the wrong type ({error}): build the corpus "
      "again."
    ) from error
