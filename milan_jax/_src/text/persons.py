"""Finds texts that mention the color of persons or judge their appearance.

Colors, of the skin or otherwise, and words such as "old" or "ugly" may not describe a
person or a part of the body. They may describe what persons wear or hold: "a red shirt
on a man" is allowed. A part that animals and things also have ("heads", "legs") counts
as a person's unless its owner is named: "white faces of dogs" is allowed, "white faces"
is not.
"""

import re
from collections.abc import Sequence

from milan_jax._src.text import word_classes as classes


def _set(text: str) -> frozenset[str]:
  return frozenset(text.split())


PERSONS = _set(
  """
  person persons people man men woman women child children kid kids boy boys girl girls
  baby babies human humans lady ladies guy guys gentleman gentlemen male males female
  females adult adults toddler toddlers teenager teenagers crowd crowds player players
  worker workers soldier soldiers athlete athletes dancer dancers
  """
)
# Parts of the body, most of which animals and things also have.
PARTS = _set(
  """
  skin face faces hand hands finger fingers arm arms hair hairs hairstyle beard beards
  body bodies torso torsos head heads leg legs foot feet eye eyes mouth mouths nose
  noses ear ears neck necks chest chests shoulder shoulders cheek cheeks lip lips
  forehead foreheads breast breasts belly bellies tongue tongues knee knees elbow
  elbows thigh thighs complexion
  """
)
# Owners that do not identify what a part belongs to.
_VAGUE_OWNERS = _set("things thing objects object kinds kind sizes size types type")
_COLORS = classes.COLORS | _set(
  """
  pale bright fair tanned colored reddish yellowish brownish grayish bluish
  greenish bluish olive skinned
  """
)
_JUDGMENTS = _set(
  """
  beautiful pretty handsome attractive sexy hot cute ugly plain fat overweight obese
  chubby skinny slim thin thick old elderly aged young wrinkled hairy furry dirty poor
  rich homeless crazy insane stupid weird strange disabled crippled drunk criminal gay
  nude naked masculine feminine blond blonde brunette bald ginger asian african european
  american indian chinese japanese caucasian hispanic latino latina arab jewish muslim
  christian foreign normal
  """
)
ATTRIBUTES = _COLORS | _JUDGMENTS
_WORDS = re.compile(r"[a-z]+|'s?|[,()]")
_DESCRIBING = ATTRIBUTES | classes.ADJECTIVES | classes.DEGREES - {"also"}
# "skin tone", "skin colored"
_TONES = _set("color colors colored tone tones toned shade shades")
_JOINTS = frozenset({"and", "or", ",", "but"})
_NOT_NOUNS = (
  classes.PREPOSITIONS
  | classes.CONJUNCTIONS
  | classes.RELATIVES
  | classes.SUBORDINATORS
  | classes.AUXILIARIES
  | classes.COPULAS
  | classes.ARTICLES
  | classes.POSSESSIVES
  | classes.QUANTIFIERS
  | classes.ADVERBS
  | classes.DEGREES
  | classes.VERBS
  | _DESCRIBING
  | {"", ",", "(", ")", "'", "'s"}
)
_LINKS = classes.COPULAS - _set("turn turns go goes get gets grow grows stay stays")


def judges_persons(text: str) -> bool:
  """Returns whether a text gives persons a color or judges them."""
  return bool(judgments(text))


def judgments(text: str) -> tuple[str, ...]:
  """Returns the words with which a text gives persons a color or judges them.

  Args:
    text: one or more sentences, in upper or lower case.

  Returns:
    Excerpts such as `("black people",)`; empty for most texts.
  """
  plain = text.lower().replace("\u2019", "'").replace("-", " ")
  found: list[str] = []
  for sentence in re.split(r"[.:;!?]+(?=\s|$)", plain):
    words = _WORDS.findall(sentence)
    for place, word in enumerate(words):
      if word in PERSONS or (word in PARTS and _may_be_a_persons(words, place)):
        places = _before(words, place) or _behind(words, place)
        if places:
          begin, end = min(*places, place), max(*places, place) + 1
          found.append(" ".join(words[begin:end]))
  return tuple(found)


def _at(words: Sequence[str], place: int) -> str:
  return words[place] if 0 <= place < len(words) else ""


def _may_be_a_persons(words: Sequence[str], place: int) -> bool:
  """Returns whether a part can be a person's: the text names no other owner."""
  after = _at(words, place + 1)
  if words[place] == "skin" and after in _TONES:
    return True
  if _is_noun(after) and after not in PARTS | PERSONS:
    return False  # "white face masks"
  begin = place
  while _is_attribute(_at(words, begin - 1)):
    begin -= 1
  owner = _at(words, begin - 2) if _at(words, begin - 1) in ("'s", "'") else ""
  if begin == place and _is_noun(_at(words, place - 1)):
    owner = words[place - 1]  # "dog noses"
  if after == "of" and not owner:
    rest = [w for w in words[place + 2 :] if not _is_attribute(w)]
    rest = [w for w in rest if w not in classes.ARTICLES | classes.QUANTIFIERS]
    owner = _at(rest, 0)
    if _at(rest, 1) == "'s" or _is_noun(_at(rest, 1)):
      owner = owner if owner in PERSONS else _at(rest, 1)
  return not owner or owner in PERSONS | PARTS | _VAGUE_OWNERS


def _is_noun(word: str) -> bool:
  return word not in _NOT_NOUNS and not word.endswith("ing")


def _is_attribute(word: str) -> bool:
  return word in _DESCRIBING


def _before(words: Sequence[str], place: int) -> list[int]:
  """Returns the positions of colors and judgments in the adjectives before a word."""
  found: list[int] = []
  begin = place - 1
  while begin >= 0:
    word = words[begin]
    if _is_attribute(word) or word in classes.QUANTIFIERS:
      if word in ATTRIBUTES:
        found.append(begin)
    elif word not in _JOINTS or not _is_attribute(_at(words, begin - 1)):
      break
    begin -= 1
  # "things that are black and people", "bits of red and people", "a light and people"
  if _at(words, place - 1) in _JOINTS and (
    _at(words, begin) in _LINKS | classes.PREPOSITIONS or words[begin + 1] == "light"
  ):
    return []
  return found


def _behind(words: Sequence[str], place: int) -> list[int]:
  """Returns the positions of those that follow a word, as in "that are black"."""
  if words[place] == "skin" and _at(words, place + 1) in _TONES:
    return [place + 1]
  here = place + 1
  if _at(words, here) in classes.RELATIVES:
    here += 1
  if _at(words, here) not in _LINKS and not (
    here == place + 1 and _at(words, here) == "in"
  ):
    return []
  found: list[int] = []
  here += 1
  while _is_attribute(_at(words, here)) or (
    _at(words, here) in _JOINTS and _is_attribute(_at(words, here + 1))
  ):
    if words[here] in ATTRIBUTES:
      found.append(here)
    here += 1
  # "people in white shirts"
  return [] if _is_noun(_at(words, here)) else found
