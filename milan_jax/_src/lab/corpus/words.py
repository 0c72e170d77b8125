"""Plurals, mass nouns and articles of the English nouns in captions."""

# Nouns without a plural form; below, nouns that are already plural.
MASS = frozenset(
  """
  grass sky water sea snow sand dirt mud wood fabric carpet metal glass plastic paper
  skin fur hair gravel road pavement asphalt forest smoke fire ice text food bread hay
  straw leather cardboard concrete plaster marble wicker jewelry spaghetti guacamole
  soup rice cheese chocolate ice-cream sunlight rust foam tinsel corn broccoli garlic
  bark scenery lettuce cabbage furniture clothing electronics lettering writing
  wallpaper wool armor stucco thatch moss ivy soil flesh salt lace velvet luggage
  machinery equipment toast ginger pasta yarn vegetation lava graffiti bamboo cutlery
  coral steam lavender holly footwear ground
  """.split()
) | {"ice cream", "rusty metal", "metal grate"}
ALWAYS_PLURAL = frozenset(
  """
  pants shorts jeans leaves branches feathers clouds bricks tiles stairs mountains
  glasses sunglasses scissors binoculars pliers headphones blinds goggles tongs whiskers
  legs eyes wings horns petals flowers stones pebbles bushes trousers spikes spines
  scales planks shutters windows clothes tights stockings pajamas cobblestones chips
  rings pipes grapes tweezers bottles bristles elephants eyebrows gears lights overalls
  plants seats seeds spots tentacles toes trunks weights wires
  """.split()
)
_IRREGULAR = {
  "person": "people",
  "man": "men",
  "woman": "women",
  "child": "children",
  "foot": "feet",
  "tooth": "teeth",
  "goose": "geese",
  "mouse": "mice",
  "leaf": "leaves",
  "loaf": "loaves",
  "knife": "knives",
  "wolf": "wolves",
  "shelf": "shelves",
  "calf": "calves",
  "scarf": "scarves",
  "hoof": "hooves",
  "ox": "oxen",
  "fish": "fish",
  "sheep": "sheep",
  "deer": "deer",
  "moose": "moose",
  "bison": "bison",
  "squid": "squid",
  "shrimp": "shrimp",
  "aircraft": "aircraft",
  "buffalo": "buffalo",
  "reindeer": "reindeer",
  "potato": "potatoes",
  "tomato": "tomatoes",
  "mango": "mangoes",
  "mosquito": "mosquitoes",
  "crowd": "crowds",
  "cactus": "cacti",
  "underside": "undersides",
}


def is_mass(noun: str) -> bool:
  """Whether a noun has no plural: grass."""
  return noun in MASS or noun.split()[-1] in MASS


def is_uncountable(noun: str) -> bool:
  """Returns whether a noun takes no plural ending: grass, pants."""
  return is_mass(noun) or noun.split()[-1] in ALWAYS_PLURAL


def plural(noun: str) -> str:
  """Returns the plural of a noun or compound; mass nouns are unchanged."""
  if is_uncountable(noun):
    return noun
  *first, last = noun.split()
  if last in _IRREGULAR:
    many = _IRREGULAR[last]
  elif last.endswith("man") and last not in ("human", "talisman"):
    many = last[:-3] + "men"
  elif last.endswith("fish"):
    many = last
  elif last.endswith(("s", "x", "z", "ch", "sh")):
    many = last + "es"
  elif last.endswith("y") and last[-2:-1] not in "aeiou":
    many = last[:-1] + "ies"
  else:
    many = last + "s"
  return " ".join([*first, many])


def possessive(noun: str) -> str:
  """A noun's plural that owns something: "people's"; names of persons only."""
  many = plural(noun)
  return f"{many}'" if many.endswith("s") else f"{many}'s"


def with_article(noun: str) -> str:
  """Returns a noun with "a" or "an", and a mass noun without an article."""
  if is_uncountable(noun):
    return noun
  unlike = ("uni", "use", "ukulele", "euro")
  vowel = noun[0] in "aeiou" and not noun.startswith(unlike)
  return f"{'an' if vowel or noun.startswith('hour') else 'a'} {noun}"
