"""The concepts that named regions show, derived from the tags of the regions.

They are whole things, categories, parts, colors and looks of things, things together
with the ground below them, categories with an exception, and sides of things. A concept
needs regions from enough different sources.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from milan_jax._src.lab.corpus import named_phrasings as said
from milan_jax._src.lab.corpus import things, words
from milan_jax._src.lab.corpus.mark_maps import SIDES
from milan_jax._src.lab.corpus.scenes import Scene, Tags
from milan_jax._src.text.persons import PARTS

# Minimum number of training sources: for a thing, and for any other concept.
LEAST_SOURCES, LEAST_OF_OTHERS = 3, 5
# Categories that people do not use in descriptions.
UNSAID = frozenset({"mammal", "pet", "structure", "instrument", "dish"})
# Parts that any thing may have.
VAGUE_PARTS = frozenset(
  """
  back base center top side edge end body bottom front corner rim inside middle tip
  surface part frame ring post stripe spot hole panel section shadow reflection
  """.split()
)
STUFF = frozenset(
  """
  grass sky water sea snow sand dirt mud wood fabric carpet metal glass plastic paper
  skin fur hair gravel road pavement forest smoke fire ice wall floor leaves branches
  feathers clouds lava graffiti pebbles cobblestones wallpaper bricks tiles rock
  concrete hay straw leather mountains planks plaster bark rusty-metal metal-grate
  marble asphalt wicker cardboard grid background ceiling stairs
  """.split()
) | {
  "brick wall",
  "stone wall",
  "wooden planks",
  "wood floor",
  "rusty metal",
  "corrugated metal",
  "metal plate",
  "metal grate",
  "roof tiles",
  "paving stones",
  "tree rings",
  "wood chips",
  "half-timbered wall",
}
GROUNDS = tuple(said.ON)
DRAWN_LOOKS = frozenset(
  """
  furry smooth shiny round blurry rough long curved metallic thin wooden striped scaly
  feathery spotted patterned transparent wrinkled woven fuzzy checkered bright dark
  """.split()
)


# Whose sides are concepts, besides those of any thing.
WITH_SIDES = ("animal", "bird", "dog", "person", "vehicle", "building", "plant")


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
  """One or more regions of a scene, or an area of them.

  Attributes:
    scene: index of the scene.
    regions: the regions of the scene.
    area: empty for the regions as they are, or a side of them, as `mark_maps.side_map`
      takes it.
  """

  scene: int
  regions: tuple[int, ...]
  area: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class NamedConcept:
  """A named concept that a unit can represent.

  Attributes:
    name: its name in the manifest.
    family: "things", "categories", "parts", "colored", "looks", "together",
      "exceptions", "sides".
    phrasings: paraphrases, the short ones first.
    lenient: words, any of which makes a description right for the lenient judge.
    strict: groups of words; the strict judge requires one from each group.
  """

  name: str
  family: str
  phrasings: tuple[str, ...]
  lenient: tuple[str, ...]
  strict: tuple[tuple[str, ...], ...]

  @property
  def short(self) -> tuple[str, ...]:
    """The phrasings that are short enough for "X and Y"."""
    return self.phrasings[:3]


Key = tuple[str, ...]


def _keys(tags: Tags) -> Iterable[Key]:
  """Yields the keys of the concepts that one region shows."""
  kinds = [kind for kind in things.categories(tags.what) if kind not in UNSAID]
  names = (tags.what, *kinds)
  if tags.part in VAGUE_PARTS and tags.part != "body":
    return
  if tags.part:
    for name in names:
      yield "part", tags.part, name
    if tags.part != "body":
      yield "part", tags.part, ""
    # Whose part it is, such a concept leaves open: a person's has no color.
    for color in tags.colors[:1] if tags.part not in PARTS else ():
      yield "colored part", color, tags.part
    return
  yield "thing", tags.what
  for kind in kinds:
    yield "category", kind
  # Nor has a person, and nobody judges how a person looks.
  others = [name for name in names if not is_person(name)]
  for color in tags.colors[:1]:
    yield from (("colored", color, name) for name in others)
  if tags.look in DRAWN_LOOKS:
    yield from (("look", tags.look, n) for n in others if n not in _OF[tags.look])
    yield "look", tags.look, "thing"


def _exceptions(tags: Tags) -> Iterable[Key]:
  """Yields "KIND except OTHER" for a whole thing that is a KIND but not an OTHER."""
  names = (tags.what, *things.categories(tags.what))
  if not tags.part:
    for kind, other in said.EXCEPTIONS:
      if kind in names and other not in names:
        yield "except", kind, other


def _sides(tags: Tags) -> Iterable[Key]:
  """Yields "SIDE of NAME" for the sides of a whole thing."""
  if tags.part or tags.what in STUFF:
    return
  names = (tags.what, *things.categories(tags.what))
  for side in SIDES:
    for name in ("thing", *(name for name in WITH_SIDES if name in names)):
      yield "side", side, name


# Nouns for which a look is redundant, such as "furry fur".
_OF = defaultdict(
  frozenset,
  furry=frozenset({"fur"}),
  wooden=frozenset({"wood", "planks"}),
  metallic=frozenset({"metal"}),
  feathery=frozenset({"feathers"}),
  rough=frozenset({"gravel"}),
)


def find_marks(scenes: Sequence[Scene]) -> dict[Key, list[Mark]]:
  """Returns the marks that show each concept, by the concept's key."""
  found: dict[Key, list[Mark]] = defaultdict(list)
  for number, scene in enumerate(scenes):
    together: dict[str, list[int]] = defaultdict(list)
    grounds: dict[str, list[int]] = defaultdict(list)
    for region, tags in enumerate(scene.tags):
      for key in (*_keys(tags), *_exceptions(tags)):
        found[key].append(Mark(number, (region,)))
      for key in _sides(tags):
        found[key].append(Mark(number, (region,), key[1]))
      if tags.part:
        continue
      if tags.what in GROUNDS:
        grounds[tags.what].append(region)
      else:
        for name in (tags.what, *things.categories(tags.what)):
          if name not in UNSAID:
            together[name].append(region)
    for name, regions in together.items():
      for ground, under in grounds.items():
        mark = Mark(number, (regions[0], under[0]))
        found["with", name, ground].append(mark)
  return dict(found)


def named_concepts(
  scenes: Sequence[Scene], marks: Mapping[Key, Sequence[Mark]]
) -> dict[Key, NamedConcept]:
  """Returns the concepts with enough sources in the training split."""
  result = {}
  for key in sorted(marks):
    sources = {
      scenes[mark.scene].group
      for mark in marks[key]
      if scenes[mark.scene].split == "train"
    }
    if len(sources) >= (LEAST_SOURCES if key[0] == "thing" else LEAST_OF_OTHERS):
      result[key] = _concept(key)
  return result


def is_person(name: str) -> bool:
  """Whether a noun names persons, or what persons have alone."""
  return "person" in (name, *things.categories(name)) or name in PARTS


def _noun(name: str) -> dict[str, str]:
  mass = words.is_mass(name)
  return {
    "noun": name,
    "many": words.plural(name),
    "one": words.with_article(name),
    # Not "person hands", which is a slip, but "people's hands".
    "owner": words.possessive(name) if is_person(name) else name,
    "are": "is" if mass else "are",
    "s": "s" if mass else "",
    "different": "some" if mass else "different",
    "various": "various kinds of" if mass else "various",
  }


def _called(name: str) -> tuple[str, ...]:
  """Returns a noun, its categories and their synonyms, for the lenient judge."""
  kinds = things.categories(name)
  names = (name, *kinds)
  names += tuple(word for n in names for word in said.SHOWN_ON.get(n, ()))
  return tuple(dict.fromkeys(w for n in names for w in (n, *said.SYNONYMS.get(n, ()))))


def _own(name: str) -> tuple[str, ...]:
  return (name, *said.SYNONYMS.get(name, ()))


def _part_words(part: str) -> tuple[str, ...]:
  heads = ("head", "face") if part in ("head", "face") else ()
  return tuple(dict.fromkeys((part, *heads, *said.PART_SYNONYMS.get(part, ()))))


def _filled(templates: Iterable[str], **values: str) -> tuple[str, ...]:
  return tuple(template.format(**values) for template in templates)


def _spoken(name: str, templates: tuple[str, ...]) -> tuple[str, ...]:
  """Returns the phrasings of a noun, with its synonyms among the short ones."""
  plain = _filled(templates, **_noun(name))
  synonyms = said.SYNONYMS.get(name, ())
  return (*synonyms[:1], plain[0], *synonyms[1:], *plain[1:])


def _concept(key: Key) -> NamedConcept:
  match key:
    case ("thing", name):
      templates = said.STUFF if name in STUFF else said.THING
      if "animal" in things.categories(name):
        templates = said.ANIMAL
      return NamedConcept(
        name, "things", _spoken(name, templates), _called(name), (_own(name),)
      )
    case ("category", name):
      return NamedConcept(
        f"any {name}",
        "categories",
        _spoken(name, said.CATEGORY),
        _called(name),
        (_own(name),),
      )
    case ("part", part, ""):
      parts = said.PART_SYNONYMS.get(part, ())
      plain = _filled(said.ANY_PART, parts=words.plural(part), part=part)
      return NamedConcept(
        f"any {part}",
        "parts",
        (plain[0], *parts, *plain[1:]),
        _part_words(part),
        (_part_words(part),),
      )
    case ("part", part, name):
      plain = _filled(said.PART, part=part, parts=words.plural(part), **_noun(name))
      return NamedConcept(
        f"{name} {part}",
        "parts",
        plain,
        tuple(dict.fromkeys((*_part_words(part), *_called(name)))),
        (_called(name), _part_words(part)),
      )
    case ("colored", color, name):
      return NamedConcept(
        f"{color} {name}",
        "colored",
        _filled(said.COLORED, c=color, **_noun(name)),
        (color, *_called(name)),
        ((color,), _called(name)),
      )
    case ("colored part", color, part):
      return NamedConcept(
        f"{color} {part}, any",
        "colored",
        _filled(said.COLORED_PART, c=color, parts=words.plural(part)),
        (color, *_part_words(part)),
        ((color,), _part_words(part)),
      )
    case ("look", look, "thing"):
      return NamedConcept(
        f"{look} things",
        "looks",
        (f"{look} things", f"{look} objects", f"things that look {look}"),
        (look,),
        ((look,),),
      )
    case ("look", look, name):
      return NamedConcept(
        f"{look} {name}",
        "looks",
        _filled(said.LOOK, l=look, **_noun(name)),
        (look, *_called(name)),
        ((look,), _called(name)),
      )
    case ("with", name, ground):
      x, y = words.plural(name), said.GROUND_NAMES.get(ground, words.plural(ground))
      return NamedConcept(
        f"{name} with {ground}",
        "together",
        _filled(said.WITH, x=x, y=y, on=said.ON[ground]),
        (*_called(name), *_called(ground)),
        (_called(name), _called(ground)),
      )
    case ("side", side, name):
      nouns = {"many": "objects"} if name == "thing" else _noun(name)
      own = said.SIDE_WORDS[side]
      return NamedConcept(
        f"{side} of {name}",
        "sides",
        _filled(said.SIDES[side], **nouns),
        own if name == "thing" else (*own, *_called(name)),
        (own,) if name == "thing" else (own, _called(name)),
      )
    case ("except", name, other):
      return NamedConcept(
        f"{name} except {other}",
        "exceptions",
        _filled(said.EXCEPT, others=words.plural(other), **_noun(name)),
        _called(name),
        (_own(name),),
      )
  raise ValueError(f"unknown concept {key}")
