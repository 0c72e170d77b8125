"""Checks that a description is a complete sentence or phrase, by rules on word classes.

The rules find typical errors of a search: descriptions that end too early, phrases
without a connecting word, and repeated words. They use no model and are deterministic.
docs/evaluation.md describes them and gives their error rates.
"""

import re
from collections.abc import Callable, Sequence

from milan_jax._src.text import word_classes as classes
from milan_jax._src.text.word_classes import is_plural

_TOKENS = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*|'[a-z]*|[,()/&]")
_SPACED_CLITIC = re.compile(r"\s'(?:s|t|re|ve|ll|d|m)\b")
_OWNED = re.compile(r"s'\s")
_ENDS = re.compile(r"[.:;!?]+(?=\s|$)|\n")
# Stands for the word before the first token and for the word after the last one.
_NONE = ""
_DETERMINERS = classes.ARTICLES | classes.POSSESSIVES
_VERBAL = classes.VERBS | classes.AUXILIARIES | classes.COPULAS
_NOUN_BREAKERS = (
  classes.PREPOSITIONS
  | classes.CONJUNCTIONS
  | classes.RELATIVES
  | classes.SUBORDINATORS
  | classes.AUXILIARIES
  | {",", _NONE}
)
_NOT_NOUNS = (
  _NOUN_BREAKERS
  | _DETERMINERS
  | classes.QUANTIFIERS
  | classes.ADVERBS
  | classes.DEGREES
  | classes.DEMONSTRATIVES
  | {"either", "neither"}
)

Clause = Sequence[str]


def is_broken(description: str) -> bool:
  """Returns whether a description is not a complete English sentence or phrase."""
  return bool(faults(description))


def faults(description: str) -> tuple[str, ...]:
  """Returns the names of the rules that a description breaks, in documented order.

  Args:
    description: one or more sentences, in upper or lower case.
  """
  lowered = description.lower().replace("\u2019", "'")
  spaced = ("spacing",) if _SPACED_CLITIC.search(lowered) else ()
  clauses = [tokens for part in _ENDS.split(lowered) if (tokens := _tokens(part))]
  if not clauses:
    return (*spaced, "ending")
  found = [
    name for name, broken in RULES.items() if any(broken(clause) for clause in clauses)
  ]
  return (*spaced, *found)


def _tokens(text: str) -> list[str]:
  """Splits a clause into words; parentheses become commas, slashes conjunctions."""
  signs = {"(": ",", ")": ",", "/": "or", "&": "and"}
  owned = _OWNED.sub("s's ", text)
  plain = owned.replace('"', " ").replace(" '", " ").replace("' ", " ")
  found = [signs.get(token, token) for token in _TOKENS.findall(plain)]
  # A parenthesis at the end of a clause does not become a comma.
  if found and found[-1] == "," and text.rstrip().endswith(")"):
    found.pop()
  return [token for token in found if token != "'"]


def _at(clause: Clause, place: int) -> str:
  return clause[place] if 0 <= place < len(clause) else _NONE


def _is_adjective(word: str) -> bool:
  return word in classes.ADJECTIVES or (
    len(word) > 5
    and word.endswith(("less", "ous", "ish"))
    and not word.endswith("fish")
  )


def _is_noun(word: str) -> bool:
  """Returns whether a word can be a noun, as verbs and colors can."""
  return word not in _NOT_NOUNS and not _is_adjective(word)


def _is_sure_noun(word: str) -> bool:
  """Returns whether a word is a noun, and not a color, verb, participle or pronoun."""
  return (
    _is_noun(word)
    and word not in classes.COLORS | classes.VERBS | classes.PRONOUNS
    and not word.startswith("'")
    and not word.endswith(("ing", "ed"))
  )


def _has_verb(words: Clause) -> bool:
  return any(word in _VERBAL or word.endswith(("ing", "ed")) for word in words)


def _ending(clause: Clause) -> bool:
  """Matches a clause whose last word needs a word after it."""
  last, before = clause[-1], clause[:-1]
  if last in _DETERMINERS | classes.CONJUNCTIONS | classes.SUBORDINATORS | {","}:
    return True
  if last in classes.RELATIVES and _at(clause, len(clause) - 2) not in ("like", "of"):
    return True
  if last in classes.DEGREES or last == "either":
    return True
  if last == "between" and before and is_plural(before[-1]):
    return False
  if last in classes.NEVER_LAST | classes.LAST_BEHIND_VERB:
    stranded = last in classes.LAST_BEHIND_VERB and _strands(before)
    return not stranded or before[-1] in _NOUN_BREAKERS - classes.AUXILIARIES
  if last == "'s":
    return True
  if last in classes.TRANSITIVES and before:
    done = not last.endswith("ing") or bool(classes.BE & set(before))
    return not (done and _strands(clause))
  if last in classes.AUXILIARIES | {"look", "looks", "seem", "seems"}:
    asked = {"where", "what", "how", "as", "the"} | classes.PERSONAL
    return not asked & set(before)
  if last == "other" and _at(clause, -2 + len(clause)) == "the":
    return not {"each", "one", "side"} & set(before)
  if last in {"certain", "different", "various", "multiple", "several"}:
    return not (before and before[-1] in classes.COPULAS | {"and", "or"})
  return last in classes.NEEDS_NOUN or (not before and last in classes.QUANTIFIERS)


def _strands(before: Clause) -> bool:
  """Returns whether a preposition may be the last word: "things people sit on"."""
  openers = classes.RELATIVES - {"that"} | classes.PERSONAL | {"what", "where", "to"}
  places = [place for place, word in enumerate(before) if word in openers and place]
  return any(_has_verb(before[place + 1 :]) for place in places)


def _beginning(clause: Clause) -> bool:
  """Matches a clause whose first word joins it to a preceding phrase."""
  return clause[0] in classes.CONJUNCTIONS | {",", "'s"}


def _repetition(clause: Clause) -> bool:
  """Matches a word repeated at once or after an adjective, and "X and X"."""
  begin = int(clause[0] in ("either", "both"))
  for joint in (("and",), ("or",), ("as", "well", "as"), (",", "also")):
    for place in range(begin + 1, len(clause) - len(joint)):
      stop = place + len(joint)
      if tuple(clause[place:stop]) == joint and clause[begin:place] == clause[stop:]:
        return True
  for place, word in enumerate(clause):
    after, third = _at(clause, place + 1), _at(clause, place + 2)
    if word == after:
      return True
    idioms = {"side", "more", "half", "again", "over", "up", "on"}
    if word == third and after in ("and", "or") and word not in idioms:
      ends = _at(clause, place + 3) in {_NONE, ","} | classes.CONJUNCTIONS
      if ends or _is_adjective(word):
        return True
    if word == third and _is_adjective(word) and after in classes.COLORS:
      return True
    if word == third and _is_adjective(word) and _is_noun(after):
      return True
    if word == third and is_plural(word) and _is_adjective(after):
      return True
  return False


def _determiner(clause: Clause) -> bool:
  """Matches an article or possessive without a noun, or with one of wrong number."""
  for place, word in enumerate(clause):
    if word not in _DETERMINERS:
      continue
    after = _at(clause, place + 1)
    if after in _NOUN_BREAKERS - {"next", "above", "inside", "outside"} | _DETERMINERS:
      return True
    if word in ("a", "an"):
      vowel = after[:1] in tuple("aeio") and not after.startswith(("one", "eu"))
      if (word == "a" and vowel) or (word == "an" and after[:1] not in tuple("aeiouh")):
        return True
      if is_plural(after) and not _is_noun(_at(clause, place + 2)):
        return True
  return False


def _adjective(clause: Clause) -> bool:
  """Matches an adjective that has no noun and is not a predicate."""
  for place, word in enumerate(clause):
    if not _is_adjective(word) or _is_adjective(_at(clause, place - 1)):
      continue
    end, begin = place, place
    while _at(clause, end) and _joins_adjectives(clause, end):
      end += 1
    while _joins_adjectives(clause, begin - 1):
      begin -= 1
    after, before = _at(clause, end), _at(clause, begin - 1)
    if after and after not in _NOUN_BREAKERS - {_NONE}:
      if after in _DETERMINERS or after == "'s":
        return True
      continue
    last = _at(clause, end - 1)
    if last in classes.CONJUNCTIONS | {","} or not (
      _is_adjective(last) or last in classes.COLORS
    ):
      continue
    if after in {",", "and", "or"} and _goes_on(clause[end:]):
      continue
    if last in classes.COLORS and not _needs_noun(clause[place:end]):
      continue
    if last in classes.ALSO_NOUNS and before in _DETERMINERS | classes.PREPOSITIONS:
      continue
    if not before:
      if after in {_NONE, "with", "at", "like"} and not _needs_noun(clause[place:end]):
        continue
      return True
    predicative = classes.COPULAS | classes.INDEFINITE | classes.DEGREES | {"how"}
    if before in predicative or (before == "as" and not _needs_noun(clause[place:end])):
      continue
    if before == "," and last in classes.POSTPOSITIVE and _is_noun(clause[begin - 2]):
      continue
    if _is_noun(before) and (last in classes.POSTPOSITIVE or _has_verb(clause[:begin])):
      continue
    if _is_noun(before) and last in classes.PARTICIPLES and after:
      continue
    return True
  return False


def _joins_adjectives(clause: Clause, place: int) -> bool:
  """Returns whether a word continues a list of adjectives."""
  word = _at(clause, place)
  if _is_adjective(word) or word in classes.COLORS | classes.DEGREES - {"also"}:
    return True
  if word in {",", "and", "or"}:
    near = (_at(clause, place + 1), _at(clause, place - 1))
    return all(_is_adjective(each) or each in classes.COLORS for each in near)
  return False


def _goes_on(words: Clause) -> bool:
  """Returns whether a list of adjectives continues with words of unknown class."""
  rest = [word for word in words[:3] if word not in {",", "and", "or", "other"}]
  if len(rest) > 1 and rest[0] in classes.ADVERBS and _is_adjective(rest[1]):
    return True
  if "other" in words[:2]:
    return bool(rest)
  return len(rest) > 1 and all(map(_is_noun, rest[:2])) and not is_plural(rest[0])


def _needs_noun(words: Clause) -> bool:
  # "black colored brown" also needs a noun.
  colored = "colored" in words[:-1] and words[-1] in classes.COLORS
  return colored or any(word in classes.NEEDS_NOUN for word in words)


def _preposition(clause: Clause) -> bool:
  """Matches two consecutive words that need a noun between them."""
  for place, word in enumerate(clause):
    after = _at(clause, place + 1)
    if word not in classes.PREPOSITIONS or not after:
      continue
    if after in classes.AUXILIARIES - {"being", "having"}:
      infinitive = word == "to" and after in {"be", "have", "do"}
      broken = word not in classes.PARTICLES and not infinitive
    elif after == ",":
      broken = word not in classes.PARTICLES and not _strands(clause[:place])
    elif after in classes.CONJUNCTIONS:
      broken = not _ends_a_part(clause, place)
    else:
      broken = after in classes.PREPOSITIONS and _clash(word, after)
    if broken:
      return True
  return False


def _ends_a_part(clause: Clause, place: int) -> bool:
  """Returns whether a conjunction may follow a preposition, as in "on or near"."""
  word = clause[place]
  if _at(clause, place + 2) in classes.PREPOSITIONS:
    return True
  if word in ("in", "on", "with"):
    return _has_verb(clause[1:place])
  return word in classes.PARTICLES


def _clash(first: str, second: str) -> bool:
  """Returns whether `second` cannot follow `first`; both are prepositions."""
  if second == "of":
    return first not in {"out", "inside", "outside", "off", "up"}
  if first not in {"of", "with", "by", "into", "at", "between", "among", "on", "for"}:
    return False
  fine = {"over", "under", "above", "below", "behind", "up", "down"}
  return second not in fine | (set() if first in {"of", "with"} else {"within", "near"})


def _conjunction(clause: Clause) -> bool:
  """Matches a conjunction that joins nothing, and an incomplete "between X and Y"."""
  for place, word in enumerate(clause):
    after = _at(clause, place + 1)
    if word in classes.CONJUNCTIONS:
      if after in classes.CONJUNCTIONS | {_NONE, ","}:
        return True
      if after in classes.PREPOSITIONS - {"out"} and not any(
        other in classes.PREPOSITIONS or other in _VERBAL for other in clause[:place]
      ):
        return True
    if (
      word == "either" and after not in ("side", "end") and not _either(clause[place:])
    ):
      return True
    if (
      word == "both" and after in classes.PREPOSITIONS and ("and" not in clause[place:])
    ):
      return True
    if word == "well" and _at(clause, place - 1) == "as" and after not in ("as", ","):
      return True
    if word == "between" and not _between(clause[place + 1 :]):
      return True
    if word == "from" and after in classes.SIDES and not _to_a_side(clause[place:]):
      return True
    if word == "next" and after != "to" and not _is_noun(after):
      return True
    if word == "next" and after in classes.COLORS | classes.ADJECTIVES:
      return True
  return False


def _either(words: Clause) -> bool:
  """Returns whether "or" has words on both sides."""
  return "or" in words[2:-1]


def _to_a_side(words: Clause) -> bool:
  """Returns whether another side follows "from left"."""
  rest = [word for word in words[1:] if word not in classes.SIDES]
  if not rest or rest[0] != "to":
    return not rest
  return _at(words, words.index("to") + 1) in classes.SIDES


def _between(words: Clause) -> bool:
  """Returns whether two things follow "between": "X and Y", or a plural."""
  if "and" in words:
    place = words.index("and")
    first, second = words[:place], words[place + 1 :]
    # "between white and the right": a side cannot be the second thing.
    side = len(second) == 2 and second[0] == "the" and second[1] in classes.SIDES
    return bool(first) and (not side or bool(set(first) & classes.SIDES))
  for word in words:
    if word in classes.PREPOSITIONS | classes.RELATIVES:
      return False
    if is_plural(word) or word in ("them", "each", "it"):
      return True
  return False


def _relative(clause: Clause) -> bool:
  """Matches a relative clause, such as one with "that" or "where", without a verb."""
  for place, word in enumerate(clause):
    rest, before = clause[place + 1 :], _at(clause, place - 1)
    if word in classes.SUBORDINATORS and not _has_verb(rest):
      return True
    if word not in classes.RELATIVES or word in ("whose", "whom"):
      continue
    if word == "that" and (not before or before in classes.PREPOSITIONS | _VERBAL):
      continue  # a demonstrative
    after = _at(clause, place + 1)
    if after in classes.COLORS | classes.CONJUNCTIONS | {",", _NONE}:
      return True
    if not any(each in _VERBAL or _is_noun(each) for each in rest):
      return True
    # A word of unknown class may be the verb: "that the dog chases".
    if _is_adjective(after):
      broken = not _has_verb(rest)
    elif after in _DETERMINERS:
      broken = not _has_verb(rest) and sum(map(_is_noun, rest)) < 2
    else:
      acts = after in classes.VERBS or _has_verb(rest[1:]) or _is_noun(_at(rest, 1))
      broken = is_plural(after) and not acts
    if broken:
      return True
  return False


def _agreement(clause: Clause) -> bool:
  """Matches a verb that does not agree in number with the noun before it."""
  for place, word in enumerate(clause):
    before, earlier = _at(clause, place - 1), clause[: max(0, place - 1)]
    if before in classes.RELATIVES:
      before, earlier = _at(clause, place - 2), clause[: max(0, place - 2)]
    elif set(earlier) & (classes.PREPOSITIONS | classes.CONJUNCTIONS):
      continue
    if before in ("people", "men", "women") and word in ("is", "was", "has", "looks"):
      return True
    if word in classes.SINGULAR_VERBS and is_plural(before):
      # "a group of dogs that is", "a box for toys that is"
      owned = bool(set(earlier) & (_DETERMINERS | {"of"}))
      if not owned and not any(map(_is_sure_noun, earlier)):
        return True
    if (
      word in ("are", "were")
      and _is_one(before)
      and not any(map(is_plural, earlier))
      and not {"and", "or"} & set(earlier)
    ):
      return True
  return False


def _is_one(word: str) -> bool:
  """Returns whether a word is a singular noun that cannot be a plural."""
  unmarked = word in classes.UNMARKED or word.endswith("fish")
  return _is_sure_noun(word) and not unmarked and not is_plural(word)


def _collision(clause: Clause) -> bool:
  """Matches two consecutive phrases without a connecting word."""
  verbless = not _has_verb(clause)
  for place, word in enumerate(clause):
    before, after, third = (_at(clause, place + step) for step in (-1, 1, 2))
    if word in classes.COMPOUNDS or not (_is_noun(word) and after):
      continue
    broken = False
    if is_plural(word) and word not in classes.VERBS:
      if is_plural(after) and after not in classes.VERBS:
        # "paths people walk"
        broken = after != "people" or not _has_verb(clause[place + 2 :])
      elif _is_adjective(after) and _is_noun(third):
        broken = verbless and after not in classes.POSTPOSITIVE
      elif after in classes.COLORS:
        broken = verbless and third == _NONE
      else:
        broken = verbless and after in classes.NEEDS_NOUN - {"such"}
    if after in _DETERMINERS:
      broken |= word in classes.COLORS or (verbless and _is_sure_noun(word))
    if word in classes.PERSONS and after in classes.BODY_PARTS:
      # "the man faces the sea"
      broken |= after != "faces" or before not in _DETERMINERS
    if broken:
      return True
  return False


def _object(clause: Clause) -> bool:
  """Matches a wrong or missing object, and a side as the subject of a verb."""
  for place, word in enumerate(clause):
    before, after, third = (_at(clause, place + step) for step in (-1, 1, 2))
    if word in classes.INTRANSITIVES and before in classes.RELATIVES:
      broken = after in _DETERMINERS or is_plural(after)
    elif word in classes.SIDES and before == "the" and place == 1:
      broken = after in classes.VERBS and not after.endswith(("ing", "ed"))
    elif word in classes.TRANSITIVES and after in classes.CONJUNCTIONS | {","}:
      broken = not _strands(clause[: place + 1]) and third not in classes.VERBS
    else:
      continue
    if broken:
      return True
  return False


def _possessive(clause: Clause) -> bool:
  """Matches a possessive `'s` without a noun after it."""
  hosts = classes.PRONOUNS | {"that", "let"}  # "it's", "that's"
  return any(
    word == "'s"
    and _at(clause, place - 1) not in hosts
    and _at(clause, place + 1) in _NOUN_BREAKERS | _DETERMINERS
    for place, word in enumerate(clause)
  )


# The rules by name, in documented order.
RULES: dict[str, Callable[[Clause], bool]] = {
  "ending": _ending,
  "beginning": _beginning,
  "repetition": _repetition,
  "determiner": _determiner,
  "adjective": _adjective,
  "preposition": _preposition,
  "conjunction": _conjunction,
  "relative": _relative,
  "agreement": _agreement,
  "collision": _collision,
  "object": _object,
  "possessive": _possessive,
}
