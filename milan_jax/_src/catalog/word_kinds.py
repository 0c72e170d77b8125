"""What kind of words a description has: colors, patterns, materials, things, ..."""

import re

from milan_jax._src.text import word_classes

# The order is that of the bits in the site's data.
KINDS = (
  *("color", "pattern", "material", "light", "place", "plant", "animal", "person"),
  *("text", "thing"),
)
_WORDS = {
  "pattern": """
  line stripe striped dot dotted spot spotted grid lattice mesh net check checked
  checkered pattern patterned texture textured curve curved circle circular round
  square rectangle rectangular triangle triangular edge corner ring spiral wave wavy
  diagonal horizontal vertical parallel row column repeated repeating zigzag crossing
  bar band block shape speckle speckled mottled swirl swirled honeycomb hole gap
  boundary contour outline border vertical stack cluster point pointed slanted oval
  """,
  "material": """
  wood wooden metal metallic glass stone brick concrete fabric cloth leather fur furry
  wool paper plastic sand sandy rock rocky ice snow snowy water liquid foam smoke fire
  flame gravel tile rubber marble steel iron feather feathery hair hairy skin scale
  scaly knitted woven straw clay ceramic
  """,
  "light": """
  bright dark light shadow shade shiny glossy reflection reflective glow glowing dull
  pale vivid blurry blurred contrast dim sunlight highlight transparent
  faint lighter darker brighter
  """,
  "place": """
  sky sea ocean lake river beach mountain hill forest field road street city building
  house room kitchen sunset horizon cloud ground floor wall landscape garden bridge
  window door ceiling roof stair water desert park scenery indoors outdoors background
  left right top bottom middle
  """,
  "plant": """
  plant flower leaf leafy tree grass grassy bush petal branch trunk moss fruit berry
  vegetable mushroom fern cactus bark seed stem
  """,
  "animal": """
  animal dog cat bird fish horse cow sheep insect bug butterfly bee spider snake lizard
  frog turtle elephant bear lion tiger wolf fox monkey ape rabbit mouse duck goose
  chicken owl eagle beak wing tail paw snout muzzle hoof horn whale shark seal shell
  crab pet zebra deer pig goat camel
  """,
  "person": """
  person people man men woman women child children boy girl baby face head eye mouth
  nose ear hand finger arm leg foot feet body shoulder neck chest hat crowd player
  clothing clothes
  """,
  "text": """
  text word letter number writing sign label lettering logo digit character print
  caption
  """,
}
_SKIPPED = (
  word_classes.ARTICLES
  | word_classes.POSSESSIVES
  | word_classes.DEMONSTRATIVES
  | word_classes.QUANTIFIERS
  | word_classes.PREPOSITIONS
  | word_classes.CONJUNCTIONS
  | word_classes.RELATIVES
  | word_classes.SUBORDINATORS
  | word_classes.AUXILIARIES
  | word_classes.DEGREES
  | word_classes.ADVERBS
  | word_classes.PRONOUNS
  | word_classes.VERBS
  | word_classes.ADJECTIVES
  | word_classes.SINGULAR_VERBS
  | frozenset("no clear part area side thing object image picture photo".split())
)
_BIT = {kind: 1 << place for place, kind in enumerate(KINDS)}
_KINDS_OF: dict[str, int] = {}
for _kind, _text in (("color", " ".join(word_classes.COLORS)), *_WORDS.items()):
  for _word in _text.split():
    _KINDS_OF[_word] = _KINDS_OF.get(_word, 0) | _BIT[_kind]
_LETTERS = re.compile(r"[a-z]+(?:-[a-z]+)*")


def kinds_of(description: str) -> int:
  """Returns the kinds of a description's words, as bits in the order of `KINDS`.

  Words of no list that are not verbs, adjectives or grammatical are things.
  """
  found = 0
  for word in _LETTERS.findall(description.lower()):
    single = _singular(word)
    known = _KINDS_OF.get(word, 0) | _KINDS_OF.get(single, 0)
    if known:
      found |= known
    elif len(single) > 2 and not {word, single} & _SKIPPED:
      found |= _BIT["thing"]
  return found


def names_of(kinds: int) -> list[str]:
  """Returns the names of kinds given as bits."""
  return [kind for kind in KINDS if kinds & _BIT[kind]]


def _singular(word: str) -> str:
  if not word_classes.is_plural(word):
    return word
  if word.endswith("ies") and len(word) > 4:
    return word[:-3] + "y"
  if word.endswith("ves"):
    return word[:-3] + "f"
  if word.endswith(("ches", "shes", "sses", "xes")):
    return word[:-2]
  return word[:-1]
