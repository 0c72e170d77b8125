"""Draws the regions and captions of units that show named things."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.lab.corpus import filters, named_phrasings, phrasings
from milan_jax._src.lab.corpus.mark_maps import place_map, side_map
from milan_jax._src.lab.corpus.named_concepts import (
  Key,
  Mark,
  NamedConcept,
)
from milan_jax._src.lab.corpus.scenes import Scene, Tags
from milan_jax._src.lab.corpus.units import NOTHING, NUM_CAPTIONS, Looks, draw_looks
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.wording import NOTHING_PHRASES

GRIDS = (56, 28, 14, 7)
GRID_SHARES = (0.2, 0.3, 0.3, 0.2)
# Fractions of units that show nothing, one concept, two concepts, and a place in the
# picture.
KIND_SHARES = (0.1, 0.72, 0.13, 0.05)
FAMILY_WEIGHTS = {
  "things": 1.0,
  "categories": 1.6,
  "parts": 1.0,
  "colored": 0.6,
  "looks": 0.5,
  "together": 0.5,
  "exceptions": 0.5,
  "sides": 0.8,
}
# Minimum number of sources of a concept in the unit's split.
LEAST_SOURCES = {"train": 3, "validation": 2, "test": 3}
# Maximum fraction of a category's regions that show the same kind of thing.
MOST_ALIKE = 0.3
# Minimum fraction of regions with a color or look for a caption to mention it.
SHARED = 0.75
# Fraction of captions that mention a color or look shared by the regions.
CHANCE_SHARED = 0.6
# Concepts that no mixture has: "animals except dogs and trees" could be read as
# excluding both, "the left side of dogs and cars" as that of both.
ALONE = ("except", "side")
# Draws for a second concept unlike the first, before the unit keeps only the first.
MOST_DRAWS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class NamedPlan:
  """A unit of named regions, before its masks are made.

  Attributes:
    split: train, validation or test.
    family: the family of its concept, "mixtures", "places" or "nothing".
    name: the concept, "X + Y", or "nothing".
    marks: the mark of each region.
    groups: for each region, the index of the concept that it shows; -1 for none.
    place: the place in the picture that the regions share; empty if it is not a place.
    looks: grid, area, smoothing and seed of its maps.
    captions: three descriptions.
    lenient: words, any of which makes a description right for the lenient judge.
    strict: groups of words; the strict judge requires one from each group.
  """

  split: str
  family: str
  name: str
  marks: tuple[Mark, ...]
  groups: tuple[int, ...]
  place: str
  looks: Looks
  captions: tuple[str, ...]
  lenient: tuple[str, ...]
  strict: tuple[tuple[str, ...], ...]


class NamedPlanner:
  """Draws units of named concepts.

  Args:
    scenes: all scenes.
    marks: the marks that show each concept.
    concepts: the concepts.
    k: number of regions per unit.
  """

  def __init__(
    self,
    scenes: Sequence[Scene],
    marks: Mapping[Key, Sequence[Mark]],
    concepts: Mapping[Key, NamedConcept],
    k: int,
  ):
    self._scenes, self._concepts, self._k = scenes, concepts, k
    self._marks: dict[str, dict[Key, dict[str, list[Mark]]]] = {}
    self._weights: dict[str, np.ndarray] = {}
    for split, least in LEAST_SOURCES.items():
      kept: dict[Key, dict[str, list[Mark]]] = {}
      for key in concepts:
        by_group: dict[str, list[Mark]] = defaultdict(list)
        for mark in marks[key]:
          if scenes[mark.scene].split == split:
            by_group[scenes[mark.scene].group].append(mark)
        total = sum(len(found) for found in by_group.values())
        if len(by_group) >= least and total >= k:
          kept[key] = dict(by_group)
      self._marks[split] = kept
      weights = np.array(
        [
          FAMILY_WEIGHTS[concepts[key].family] * len(groups) ** 0.5
          for key, groups in kept.items()
        ]
      )
      self._weights[split] = weights / max(weights.sum(), 1e-9)
    self._of_split = {
      split: [n for n, scene in enumerate(scenes) if scene.split == split]
      for split in LEAST_SOURCES
    }

  def concepts_of(self, split: str) -> list[str]:
    """Returns the names of the concepts that a split can show."""
    return [self._concepts[key].name for key in self._marks[split]]

  def unit(self, split: str, rng: np.random.Generator) -> NamedPlan:
    """Draws a random unit of a split."""
    kind = int(rng.choice(4, p=KIND_SHARES))
    if kind == 0:
      return self._nothing(split, rng)
    if kind == 3:
      return self._place(split, rng)
    return self._shown(split, kind, rng)

  def _draw(self, split: str, rng: np.random.Generator) -> Key:
    keys = list(self._marks[split])
    return keys[int(rng.choice(len(keys), p=self._weights[split]))]

  def _shown(self, split: str, number: int, rng: np.random.Generator) -> NamedPlan:
    keys = [self._draw(split, rng)]
    for _ in range(0 if number == 1 else MOST_DRAWS):
      other = self._draw(split, rng)
      if other[0] in ALONE:
        continue
      if keys[0][0] in ALONE:
        keys = [other]
      elif not self._alike(keys[0], other):
        keys.append(other)
        break
    number = len(keys)
    shares = [self._k] if number == 1 else [self._k // 2, self._k - self._k // 2]
    chosen = [
      self._choose(split, key, share, rng)
      for key, share in zip(keys, shares, strict=True)
    ]
    pairs = [(mark, group) for group, found in enumerate(chosen) for mark in found]
    order = rng.permutation(len(pairs))
    shown = [self._concepts[key] for key in keys]
    lenient = tuple(dict.fromkeys(w for c in shown for w in c.lenient))
    return NamedPlan(
      split=split,
      family=shown[0].family if number == 1 else "mixtures",
      name=" + ".join(concept.name for concept in shown),
      marks=tuple(pairs[place][0] for place in order),
      groups=tuple(pairs[place][1] for place in order),
      place="",
      looks=_looks(rng),
      captions=self._captions(keys, chosen, rng),
      lenient=lenient,
      strict=tuple(words for concept in shown for words in concept.strict),
    )

  def _alike(self, one: Key, other: Key) -> bool:
    """Returns whether two concepts share a word, so they do not make a mixture."""
    first, second = self._concepts[one], self._concepts[other]
    return bool(set(first.lenient) & set(second.lenient))

  def _choose(
    self, split: str, key: Key, number: int, rng: np.random.Generator
  ) -> list[Mark]:
    """Draws marks of a concept: first one per source, then more from each source."""
    by_group = self._marks[split][key]
    names = sorted(by_group)
    rest = [
      [found[int(place)] for place in rng.permutation(len(found))]
      for found in (by_group[names[int(n)]] for n in rng.permutation(len(names)))
    ]
    seen: Counter[str] = Counter()
    most = max(2, round(MOST_ALIKE * number))
    chosen: list[Mark] = []
    later: list[Mark] = []
    while rest and len(chosen) < number:
      for found in rest:
        mark = found.pop()
        what = self._tags(mark).what
        if seen[what] >= most and key[0] != "thing" and key[-1] != what:
          later.append(mark)
          continue
        seen[what] += 1
        chosen.append(mark)
      rest = [found for found in rest if found]
    return (chosen + later)[:number]

  def _tags(self, mark: Mark) -> Tags:
    return self._scenes[mark.scene].tags[mark.regions[0]]

  def _captions(
    self, keys: Sequence[Key], chosen: Sequence[list[Mark]], rng: np.random.Generator
  ) -> tuple[str, ...]:
    concepts = [self._concepts[key] for key in keys]
    if len(keys) == 1:
      more = self._shared(keys[0], chosen[0])
      drawn = _distinct(concepts[0].phrasings, NUM_CAPTIONS, rng)
      if more and rng.random() < CHANCE_SHARED:
        drawn[int(rng.integers(NUM_CAPTIONS))] = more[int(rng.integers(len(more)))]
      return tuple(drawn)
    joints = _distinct(phrasings.TOGETHER, NUM_CAPTIONS, rng)
    return tuple(
      joint.format(
        x=_distinct(concepts[0].short, 1, rng)[0],
        y=_distinct(concepts[1].short, 1, rng)[0],
      )
      for joint in joints
    )

  def _shared(self, key: Key, marks: Sequence[Mark]) -> list[str]:
    """Returns phrasings with the color or look that most of the regions share."""
    if key[0] not in ("thing", "category", "part") or key[-1] == "":
      return []
    tags = [self._tags(mark) for mark in marks]
    need = SHARED * len(tags)
    many = self._concepts[key].phrasings[0]
    found = []
    for adjectives in (
      Counter(color for t in tags for color in t.colors[:1]),
      Counter(t.look for t in tags if t.look),
    ):
      for word, count in adjectives.items():
        sentence = f"{word} {many}"
        if count < need or many.startswith("the ") or judges_persons(sentence):
          continue
        found.append(sentence)
    return found

  def _nothing(self, split: str, rng: np.random.Generator) -> NamedPlan:
    """Draws a unit of random places, or of different things."""
    numbers = self._of_split[split]
    picked = [numbers[int(n)] for n in rng.choice(len(numbers), 4 * self._k)]
    marks: list[Mark] = []
    shown: set[str] = set()
    for number in picked:
      region = int(rng.integers(len(self._scenes[number].tags)))
      what = self._scenes[number].tags[region].what
      if what not in shown:
        shown.add(what)
        marks.append(Mark(number, (region,)))
    spare = max(0, self._k - len(marks))
    marks = marks[: self._k] + [Mark(number, (0,)) for number in picked[:spare]]
    random_places = rng.random() < 0.5
    return NamedPlan(
      split=split,
      family=NOTHING,
      name=NOTHING,
      marks=tuple(marks),
      groups=(-1 if random_places else 0,) * self._k,
      place="",
      looks=_looks(rng),
      captions=tuple(_distinct(NOTHING_PHRASES, NUM_CAPTIONS, rng)),
      lenient=(),
      strict=(),
    )

  def _place(self, split: str, rng: np.random.Generator) -> NamedPlan:
    names = sorted(named_phrasings.PLACES)
    place = names[int(rng.integers(len(names)))]
    numbers = self._of_split[split]
    picked = rng.choice(len(numbers), self._k, replace=len(numbers) < self._k)
    own = named_phrasings.PLACE_WORDS[place]
    return NamedPlan(
      split=split,
      family="places",
      name=f"{place} of the picture",
      marks=tuple(Mark(numbers[int(n)], (0,)) for n in picked),
      groups=(0,) * self._k,
      place=place,
      looks=_looks(rng),
      captions=tuple(_distinct(named_phrasings.PLACES[place], NUM_CAPTIONS, rng)),
      lenient=tuple(word for each in own for word in each),
      strict=own,
    )


def _looks(rng: np.random.Generator) -> Looks:
  grid = int(rng.choice(GRIDS, p=GRID_SHARES))
  return draw_looks(grid, rng)


def _distinct(
  options: Sequence[str], number: int, rng: np.random.Generator
) -> list[str]:
  """Draws distinct options; a repeated option is more likely."""
  found = dict.fromkeys(options[int(n)] for n in rng.permutation(len(options)))
  drawn = list(found)[:number]
  while len(drawn) < number:
    drawn.append(drawn[int(rng.integers(len(drawn)))])
  return drawn


def mark_map(
  regions: Float[np.ndarray, "regions 56 56"], plan: NamedPlan, region: int
) -> Float[np.ndarray, "grid grid"]:
  """Returns how strongly each cell of a unit's grid shows the mark of a region."""
  if plan.place:
    found = place_map(plan.place)
  else:
    mark = plan.marks[region]
    found = regions[list(mark.regions)].astype(np.float32).max(0)
    if mark.area:
      found = side_map(found, mark.area)
  return filters.block_means(found, plan.looks.grid)
