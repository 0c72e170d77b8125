"""Classes of English words, for rules on the grammar of descriptions.

Closed classes have every word that occurs in descriptions. Adjectives and verbs are
those that people use to describe pictures. All other words count as nouns.
"""

import functools


def _set(text: str) -> frozenset[str]:
  return frozenset(text.split())


ARTICLES = _set("a an the")
POSSESSIVES = _set("its their his her my our your")
DEMONSTRATIVES = _set("this that these those")
QUANTIFIERS = _set(
  """
  two three four five six seven eight nine ten several many few multiple various every
  each some any such all both other another
  """
)
# Words that need a noun after them.
NEEDS_NOUN = _set(
  """
  two three four five six seven eight nine ten several multiple various every different
  certain such a an the its their his her my our your musical electronic
  """
)
PREPOSITIONS = _set(
  """
  of in on at with from to by for as into onto against between among behind
  beside besides below under underneath beneath over above near across along through
  throughout around toward towards within without upon inside outside off out up down
  except than like per via during next
  """
)
# Prepositions that cannot end a sentence. `in`, `on` and `with` can, after a verb.
NEVER_LAST = _set(
  """
  of from to at by for as into onto against between among besides beside toward
  towards within without upon except than like per via during next near
  """
)
LAST_BEHIND_VERB = _set("in on with at for from to of into")
# Prepositions that are also adverbs of place and do not need a noun.
PARTICLES = _set(
  """
  up down in out on off over under above below inside outside around across along
  through behind beneath underneath throughout near
  """
)
CONJUNCTIONS = _set("and or but nor")
RELATIVES = _set("that which who whose whom")
SUBORDINATORS = _set("where when while because although if since whereas")
BE = _set("is are was were be been being")
AUXILIARIES = BE | _set(
  "has have had do does did could may might will would should must cannot"
)
SINGULAR_VERBS = _set(
  "is was has does looks seems appears contains includes shows runs goes"
)
COPULAS = BE | _set(
  """
  look looks looked looking seem seems appear appears feel feels become becomes get gets
  stay stays remain remains go goes turn turns grow grows
  """
)
# Verbs that need an object, in every form except the passive participle.
TRANSITIVES = _set(
  """
  has have having contain contains containing include includes including resemble
  resembles resembling featuring wearing holding involving depicting
  """
)
# Verbs that take no object.
INTRANSITIVES = _set(
  """
  run runs running go goes going lie lies lying lean leans leaning stand stands standing
  bend bends bending rise rises rising climb climbs fall falls falling sit sits sitting
  """
)
DEGREES = _set("very also more most mostly quite too rather only just almost nearly")
# Adverbs other than degrees.
ADVERBS = _set(
  """
  sideways together apart upwards downwards upward downward inwards outwards outdoors
  indoors diagonally horizontally vertically across always often not never well here
  there away forward forwards backwards backward alone still closely brightly finely
  faintly side along indoors nearby upside besides towards perhaps usually sometimes
  """
)
PRONOUNS = _set(
  """
  it they them he she him we us you i someone people nothing something anything
  everything anyone one ones others what it there
  """
)
# Subjects of relative clauses without "that": "things people hold".
PERSONAL = _set("people someone somebody you we they he she i one person kid man woman")
# Words that an adjective may follow: "something round".
INDEFINITE = _set("something anything nothing everything someone anyone what")
# Colors and similar words, which are both adjectives and nouns.
COLORS = _set(
  """
  red orange yellow green blue purple pink brown white gray black teal tan beige
  maroon turquoise violet cyan magenta gold silver navy dark light
  """
)
ADJECTIVES = _set(
  """
  horizontal vertical diagonal upright level parallel perpendicular slanted slanting
  round square rounded curved curving curvy straight flat pointed pointy sharp narrow
  wide thin thick long short tall big large small little tiny huge smooth rough grainy
  coarse fine plain empty even uneven uniform blank bumpy lumpy shiny glossy dull bright
  vivid pale faint deep soft hard warm cool cold wet dry striped spotted dotted speckled
  checked checkered patterned textured wavy wooden metallic furry fuzzy hairy feathery
  scaly woven wrinkled transparent blurry blurred busy mottled blotchy saturated colored
  colorful colorless different various similar same certain random unrelated electronic
  musical aquatic wild young old new open closed full single double entire main whole
  upper lower outer inner middle rear darker lighter brighter darkest
  lightest brightest larger smaller bigger repeated repeating crossing cylindrical
  circular rectangular triangular spherical oval fluffy leafy rocky sandy grassy snowy
  muddy rusty dirty clean many-colored multicolored gray-green bluish reddish greenish
  yellowish brownish grayish visible natural artificial
  """
)
# Adjectives that can also be nouns after an article or a preposition.
ALSO_NOUNS = _set("square middle wild cold rear open lighter musical")
# Adjectives that may follow their noun.
POSTPOSITIVE = _set(
  """
  full close similar high low darker lighter brighter larger smaller wide deep tall long
  thick parallel perpendicular open visible empty separate different alone wet dry even
  apart level free ready rich bright white black
  """
)
# Participles, which may follow their noun if a phrase follows them.
PARTICIPLES = _set(
  """
  woven slanted rounded curved pointed striped spotted dotted colored blurred saturated
  patterned checked repeated closed slanting
  """
)
SIDES = _set("left right top bottom")
_VERBS = """
meet end begin start turn come change fade touch cross join hang grow sit stand lie
live lean run go bend fall rise climb drop look seem appear contain include show hold
carry cover surround resemble feature wear face move fly swim walk ride eat drink play
work stick hit reach reflect shine glow stretch extend point lead connect attach
separate divide form make create give take get put keep let see use need want have
grow open close overlap repeat radiate curve wrap flow pour sleep rest jump drive sail
float burn melt break split fold cast block fill become stay remain stop protrude
taper differ match fit belong happen occur exist dominate
"""
_PAST = _set(
  """
  met ended began begun started turned came changed faded touched crossed joined hung
  grew grown sat stood lay lain lived leaned ran gone went bent fell fallen rose risen
  climbed looked held carried covered surrounded seen used made given taken put kept
  worn eaten cut built cast split left lit
  """
)


@functools.cache
def _forms() -> frozenset[str]:
  forms = set(_PAST)
  for verb in _VERBS.split():
    last = verb[:-1] if verb.endswith("e") else verb
    ending = "es" if verb.endswith(("s", "x", "ch", "sh", "o")) else "s"
    forms |= {verb, verb + ending, last + "ing"}
    if verb.endswith("y") and verb[-2] not in "aeiou":
      forms.add(verb[:-1] + "ies")
  return frozenset(forms)


VERBS = _forms()
# Singular nouns, verbs and adverbs that have the ending of a plural.
NOT_PLURAL = ADVERBS | _set(
  """
  grass glass gas lens canvas cactus bus octopus walrus iris moss dress brass cross
  chess news series species class mass loss boss across this its his as is was has does
  plus minus various previous obvious us always sometimes perhaps towards upwards
  downwards atlas bias chaos
  """
)
PLURALS = _set(
  """
  people men women children feet teeth geese mice oxen cacti fungi dice
  """
)
# Plurals that begin a compound: "sports equipment".
COMPOUNDS = _set("sports clothes arts electronics goods glasses news savings mens")
PERSONS = _set("man woman child person boy girl")
BODY_PARTS = _set(
  """
  hands heads faces legs arms eyes mouths feet necks bodies noses ears fingers chests
  hair
  """
)
# Nouns whose plural equals their singular, and collective nouns.
UNMARKED = _set("sheep deer moose bison aircraft series species police group clothing")


def is_plural(word: str) -> bool:
  """Returns whether a noun has the form of a plural."""
  if word in PLURALS:
    return True
  if word in NOT_PLURAL or len(word) < 4:
    return False
  return word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))
